// Package docs is the documentation, shipped inside the binary: the guide for
// people who work in the console, and the reference.
//
// Files holds the Markdown as it stands in this folder; nothing is generated.
package docs

import "embed"

// Files are the texts, by their path in this folder.
//
//go:embed *.md guide/*.md
var Files embed.FS
