//go:build tools

// Package tools names the command that hack/cluster builds, so that go.mod and go.sum pin it.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
