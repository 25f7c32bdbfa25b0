//go:build cgo

package state

// Pebble's blocks are allocated by one thread and freed by another. With a heap
// for each of a dozen threads, as the C library of Linux has it, what is free in
// them was as much as what is used. It looks at the limit once, early.

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
__attribute__((constructor)) static void share_heaps(void) { mallopt(M_ARENA_MAX, 2); }
#endif
*/
import "C"
