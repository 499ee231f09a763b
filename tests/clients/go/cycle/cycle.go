// Package cycle is what the Go clients' programs share: the bytes they store, and how they tell what they did.
package cycle

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

const (
	// PartBytes is the size of a part: the smallest that S3 allows.
	PartBytes = 5 << 20
	// BigBytes makes three parts, the last a short one.
	BigBytes = 2*PartBytes + 12345
	// SmallBytes is sent in one request.
	SmallBytes = 70_000
)

const usage = "usage: version | cycle BUCKET PREFIX FOREIGN-PREFIX | read BUCKET PREFIX"

// Arguments are what a program is told to do, and where.
type Arguments struct {
	Verb, Bucket, Prefix, Foreign string
}

// Parse reads the command line. Unless there is a cycle to do it ends the program: `version` prints that of `module`.
func Parse(module string) Arguments {
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "version":
		fmt.Println(version(module))
		os.Exit(0)
	case len(args) == 4 && args[0] == "cycle":
		return Arguments{args[0], args[1], args[2], args[3]}
	case len(args) == 3 && args[0] == "read":
		return Arguments{Verb: args[0], Bucket: args[1], Prefix: args[2]}
	}
	fmt.Fprintln(os.Stderr, usage)
	os.Exit(2)
	return Arguments{}
}

// Step runs one step and says so; the first that fails ends the program.
func Step(name string, run func() error) {
	if err := run(); err != nil {
		fmt.Printf("FAILED %s: %v\n", name, err)
		os.Exit(1)
	}
	fmt.Println("did", name)
}

// Content is what every program, in every language, stores as `seed`.
func Content(seed, length int) []byte {
	content := make([]byte, length)
	for i := range content {
		content[i] = byte(i*31 + (i>>8)*7 + (i>>16)*13 + seed)
	}
	return content
}

// Unsized hides that a reader can seek and how long it is.
type Unsized struct{ io.Reader }

// Same compares without printing megabytes.
func Same(what string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %d bytes came back, and not the %d that were stored", what, len(got), len(want))
	}
	return nil
}

// Want fails with the message unless the condition holds.
func Want(condition bool, format string, args ...any) error {
	if condition {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// First is the first of the errors that is one.
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// version is the version of a module that is built in.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "unknown"
}
