// Command rapport is the whole product in one binary: the server, the demo
// world and the tools around them. It parses nothing itself; package app does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/rapport-engine/rapport/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := app.Main(ctx, app.Env{
		Args: os.Args[1:], Getenv: os.Getenv,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}
