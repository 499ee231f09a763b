// Package cycle is what the Go clients' programs share: the steps and their order, the bytes they store, and how they tell
// what they did. What an SDK has its own way for is a method of its Client.
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

// Client is one SDK at one prefix of a bucket. Names are below the prefix.
type Client interface {
	// Put stores an object in one request, on a condition unless both its ETags are empty.
	Put(name string, content []byte, condition Condition) error
	Get(name string) ([]byte, error)
	// Head is what is known of an object beside its bytes.
	Head(name string) (Head, error)
	// Copy copies within the bucket; a new origin replaces the metadata.
	Copy(from, to, origin string) error
	// Describe stores an object with the metadata of Described.
	Describe(name string, content []byte) error
	Delete(name string) error
	DeleteMany(names []string) error
	// Count is the number of objects below the prefix.
	Count() (int, error)
	// Status is the HTTP status of an error; 0 where it is none of the server's.
	Status(err error) int

	// Parts stores `big` in three parts, and Stream stores `streamed` without knowing its length in advance.
	Parts(content []byte) error
	Stream(body io.Reader) error
	// List finds nine objects by pages, and two folders.
	List() error
	// Ranges reads pieces of `big` in each way that the SDK has.
	Ranges(whole []byte) error
	// Absent finds that the SDK has its own error for a GET, and for a HEAD, of what is not there.
	Absent(name string) error
	// Unsupported asks for what is never done here.
	Unsupported() error
}

// Condition is what a write is made to depend on: ETags, without quotes.
type Condition struct{ Match, NoneMatch string }

// Always is no condition.
var Always Condition

// Head is what is known of an object beside its bytes.
type Head struct {
	ETag, ContentType, Origin string
	Length                    int64
}

// What an object is described by, beside its origin.
const (
	ContentType = "application/x-kept"
	Origin      = "web 01"
)

// Run does the cycle, or reads what it left, as the arguments say. The first step that fails ends the program.
func Run(arguments Arguments, at func(prefix string) Client) {
	c := cycle{at(arguments.Prefix)}
	if arguments.Verb == "read" {
		step("owner reads", c.remains)
		step("owner is refused to write", func() error { return c.has(403, c.Put("stray", Content(9, 10), Always)) })
		return
	}
	step("small objects", c.small)
	step("an object in parts", c.parts)
	step("a stream of unknown length", c.stream)
	step("listing by pages", c.List)
	step("overwriting", func() error { return c.stores("small", Content(70, 1234)) })
	step("conditional writes", c.conditions)
	step("partial reads", func() error { return c.Ranges(Content(50, BigBytes)) })
	step("metadata", c.metadata)
	step("copies", c.copies)
	step("many deleted at once", c.deletes)
	step("absent is 404", func() error { return c.Absent("many/1") })
	step("another host is 403", cycle{at(arguments.Foreign)}.refused)
	step("what is never done is 501", func() error { return c.has(501, c.Unsupported()) })
	step("what is left", c.remains)
}

type cycle struct{ Client }

func (c cycle) holds(name string, want []byte) error {
	got, err := c.Get(name)
	return First(err, Same(name, got, want))
}

func (c cycle) stores(name string, content []byte) error {
	return First(c.Put(name, content, Always), c.holds(name, content))
}

func (c cycle) has(status int, err error) error {
	return Want(err != nil && c.Status(err) == status, "expected status %d, not %v", status, err)
}

func (c cycle) small() error {
	for seed, name := range []string{"small", "with space/and+plus", "blåbær", "many/1", "many/2", "many/3"} {
		if err := c.stores(name, Content(seed, SmallBytes)); err != nil {
			return err
		}
	}
	return c.stores("empty", nil)
}

func (c cycle) parts() error {
	content := Content(50, BigBytes)
	return First(c.Parts(content), c.holds("big", content))
}

func (c cycle) stream() error {
	content := Content(60, PartBytes+SmallBytes)
	return First(c.Stream(unsized{bytes.NewReader(content)}), c.holds("streamed", content))
}

func (c cycle) conditions() error {
	head, err := c.Head("small")
	if err != nil {
		return err
	}
	unlessThere := Condition{NoneMatch: "*"}
	return First(
		c.has(412, c.Put("small", Content(80, 100), unlessThere)),
		c.Put("once", Content(81, 100), unlessThere),
		c.has(412, c.Put("small", Content(82, 100), Condition{Match: "0123456789abcdef0123456789abcdef"})),
		c.holds("small", Content(70, 1234)),
		c.Put("small", Content(83, 100), Condition{Match: head.ETag}),
		c.holds("small", Content(83, 100)),
	)
}

func (c cycle) metadata() error {
	return First(c.Describe("described", Content(90, 500)), c.described("described", Origin))
}

func (c cycle) described(name, origin string) error {
	head, err := c.Head(name)
	right := head.ContentType == ContentType && head.Origin == origin && head.Length == 500
	return First(err, Want(right, "%s is described as %+v", name, head))
}

func (c cycle) copies() error {
	return First(
		c.Copy("described", "copied", ""),
		c.holds("copied", Content(90, 500)),
		c.described("copied", Origin),
		c.Copy("described", "copied", "elsewhere"),
		c.described("copied", "elsewhere"),
	)
}

func (c cycle) deletes() error {
	names := []string{"many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus"}
	return First(c.DeleteMany(names), c.Delete("once"))
}

func (c cycle) refused() error {
	_, err := c.Get("small")
	return First(c.has(403, err), c.has(403, c.Put("small", Content(1, 100), Always)))
}

// remains checks what the cycle leaves, by listing and by content: also what its owner does.
func (c cycle) remains() error {
	left := map[string][]byte{
		"big": Content(50, BigBytes), "streamed": Content(60, PartBytes+SmallBytes), "small": Content(83, 100),
		"described": Content(90, 500), "blåbær": Content(2, SmallBytes), "empty": nil,
	}
	count, err := c.Count()
	if err := First(err, Want(count == len(left), "%d objects are left", count)); err != nil {
		return err
	}
	for name, content := range left {
		if err := c.holds(name, content); err != nil {
			return err
		}
	}
	return nil
}

// step runs one step and says so; the first that fails ends the program.
func step(name string, run func() error) {
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

// unsized hides that a reader can seek and how long it is.
type unsized struct{ io.Reader }

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
