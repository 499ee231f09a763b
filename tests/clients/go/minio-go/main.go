// One full cycle of MinIO's Go client with its own defaults.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	. "kheeper/tests/clients/cycle"
)

type program struct {
	Arguments
	ctx    context.Context
	client *minio.Client
}

func main() {
	arguments := Parse("github.com/minio/minio-go/v7")
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{Creds: credentials.NewEnvAWS(), Secure: endpoint.Scheme == "https"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	p := program{arguments, context.Background(), client}
	if p.Verb == "read" {
		Step("owner reads", p.remains)
		Step("owner is refused to write", func() error { return hasStatus(p.put("stray", Content(9, 10)), 403) })
		return
	}
	Step("small objects", p.small)
	Step("an object in parts", p.parts)
	Step("a stream of unknown length", p.stream)
	Step("listing by pages", p.list)
	Step("overwriting", p.overwrite)
	Step("conditional writes", p.conditions)
	Step("partial reads", p.ranges)
	Step("metadata", p.metadata)
	Step("copies", p.copies)
	Step("many deleted at once", p.deleteMany)
	Step("absent is 404", p.absent)
	Step("another host is 403", p.foreign)
	Step("what is left", p.remains)
}

func (p *program) key(name string) string { return p.Prefix + "/" + name }

func (p *program) put(name string, content []byte) error {
	return p.putWith(name, content, minio.PutObjectOptions{})
}

func (p *program) putWith(name string, content []byte, options minio.PutObjectOptions) error {
	_, err := p.client.PutObject(p.ctx, p.Bucket, p.key(name), bytes.NewReader(content), int64(len(content)), options)
	return err
}

func (p *program) getWith(name string, options minio.GetObjectOptions) ([]byte, error) {
	object, err := p.client.GetObject(p.ctx, p.Bucket, p.key(name), options)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

func (p *program) holds(name string, want []byte) error {
	got, err := p.getWith(name, minio.GetObjectOptions{})
	return First(err, Same(name, got, want))
}

func (p *program) small() error {
	for seed, name := range []string{"small", "with space/and+plus", "blåbær", "many/1", "many/2", "many/3"} {
		content := Content(seed, SmallBytes)
		if err := First(p.put(name, content), p.holds(name, content)); err != nil {
			return err
		}
	}
	return First(p.put("empty", nil), p.holds("empty", nil))
}

func (p *program) parts() error {
	content := Content(50, BigBytes)
	options := minio.PutObjectOptions{PartSize: PartBytes, SendContentMd5: true}
	sent, err := p.client.PutObject(p.ctx, p.Bucket, p.key("big"), bytes.NewReader(content), BigBytes, options)
	return First(err, Want(len(sent.ETag) == 34, "ETag %s is not one of three parts", sent.ETag), p.holds("big", content))
}

func (p *program) stream() error {
	content := Content(60, PartBytes+SmallBytes)
	body := Unsized{bytes.NewReader(content)}
	_, err := p.client.PutObject(p.ctx, p.Bucket, p.key("streamed"), body, -1, minio.PutObjectOptions{PartSize: PartBytes})
	return First(err, p.holds("streamed", content))
}

func (p *program) list() error {
	keys, folders := 0, 0
	for object := range p.client.ListObjects(p.ctx, p.Bucket, minio.ListObjectsOptions{Prefix: p.key(""), Recursive: true, MaxKeys: 2}) {
		if object.Err != nil {
			return object.Err
		}
		keys++
	}
	for object := range p.client.ListObjects(p.ctx, p.Bucket, minio.ListObjectsOptions{Prefix: p.key(""), UseV1: true}) {
		if object.Err != nil {
			return object.Err
		}
		if object.ETag == "" {
			folders++
		}
	}
	return Want(keys == 9 && folders == 2, "%d keys and %d folders", keys, folders)
}

func (p *program) overwrite() error {
	content := Content(70, 1234)
	return First(p.put("small", content), p.holds("small", content))
}

func (p *program) conditions() error {
	var unlessThere, ifOther, ifSame minio.PutObjectOptions
	unlessThere.SetMatchETagExcept("*")
	ifOther.SetMatchETag("0123456789abcdef0123456789abcdef")
	head, err := p.client.StatObject(p.ctx, p.Bucket, p.key("small"), minio.StatObjectOptions{})
	if err != nil {
		return err
	}
	ifSame.SetMatchETag(head.ETag)
	return First(
		hasStatus(p.putWith("small", Content(80, 100), unlessThere), 412),
		p.putWith("once", Content(81, 100), unlessThere),
		hasStatus(p.putWith("small", Content(82, 100), ifOther), 412),
		p.holds("small", Content(70, 1234)),
		p.putWith("small", Content(83, 100), ifSame),
		p.holds("small", Content(83, 100)),
	)
}

func (p *program) ranges() error {
	whole := Content(50, BigBytes)
	for _, asked := range [][2]int64{{10, 19}, {5242000, 5243000}, {0, -100}} {
		var options minio.GetObjectOptions
		if err := options.SetRange(asked[0], asked[1]); err != nil {
			return err
		}
		want := whole[BigBytes-100:]
		if asked[1] > 0 {
			want = whole[asked[0] : asked[1]+1]
		}
		// Core is the client without the reader that asks for ranges of its own.
		body, _, _, err := minio.Core{Client: p.client}.GetObject(p.ctx, p.Bucket, p.key("big"), options)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(body)
		if err := First(err, Same(fmt.Sprint(asked), got, want)); err != nil {
			return err
		}
	}
	object, err := p.client.GetObject(p.ctx, p.Bucket, p.key("big"), minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	got := make([]byte, 1000)
	_, err = object.ReadAt(got, 5242000)
	return First(err, Same("read at an offset", got, whole[5242000:5243000]))
}

func (p *program) metadata() error {
	return First(p.putWith("described", Content(90, 500), minio.PutObjectOptions{
		ContentType: "application/x-kept", UserMetadata: map[string]string{"origin": "web 01", "count": "3"},
	}), p.described("described", "web 01"))
}

func (p *program) described(name, origin string) error {
	head, err := p.client.StatObject(p.ctx, p.Bucket, p.key(name), minio.StatObjectOptions{})
	return First(
		err,
		Want(head.ContentType == "application/x-kept", "content type %v", head.ContentType),
		Want(head.UserMetadata["Origin"] == origin, "metadata %v", head.UserMetadata),
		Want(head.Size == 500, "length %d", head.Size),
	)
}

func (p *program) copies() error {
	source := minio.CopySrcOptions{Bucket: p.Bucket, Object: p.key("described")}
	target := minio.CopyDestOptions{Bucket: p.Bucket, Object: p.key("copied")}
	_, err := p.client.CopyObject(p.ctx, target, source)
	if err := First(err, p.holds("copied", Content(90, 500)), p.described("copied", "web 01")); err != nil {
		return err
	}
	target.ReplaceMetadata = true
	target.UserMetadata = map[string]string{"Content-Type": "application/x-kept", "origin": "elsewhere"}
	_, err = p.client.CopyObject(p.ctx, target, source)
	return First(err, p.described("copied", "elsewhere"))
}

func (p *program) deleteMany() error {
	doomed := make(chan minio.ObjectInfo)
	go func() {
		defer close(doomed)
		for _, name := range []string{"many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus"} {
			doomed <- minio.ObjectInfo{Key: p.key(name)}
		}
	}()
	for failed := range p.client.RemoveObjects(p.ctx, p.Bucket, doomed, minio.RemoveObjectsOptions{}) {
		return failed.Err
	}
	return p.client.RemoveObject(p.ctx, p.Bucket, p.key("once"), minio.RemoveObjectOptions{})
}

func (p *program) absent() error {
	_, err := p.getWith("many/1", minio.GetObjectOptions{})
	_, headErr := p.client.StatObject(p.ctx, p.Bucket, p.key("many/1"), minio.StatObjectOptions{})
	code := minio.ToErrorResponse(err).Code
	return First(hasStatus(err, 404), hasStatus(headErr, 404), Want(code == minio.NoSuchKey, "code %s", code))
}

func (p *program) foreign() error {
	stranger := program{Arguments{Bucket: p.Bucket, Prefix: p.Foreign}, p.ctx, p.client}
	_, read := stranger.getWith("small", minio.GetObjectOptions{})
	return First(hasStatus(read, 403), hasStatus(stranger.put("small", Content(1, 100)), 403))
}

// remains checks what the cycle leaves, by listing and by content: also what its owner does.
func (p *program) remains() error {
	left := map[string][]byte{
		"big": Content(50, BigBytes), "streamed": Content(60, PartBytes+SmallBytes), "small": Content(83, 100),
		"described": Content(90, 500), "blåbær": Content(2, SmallBytes), "empty": nil,
	}
	listed := 0
	for object := range p.client.ListObjects(p.ctx, p.Bucket, minio.ListObjectsOptions{Prefix: p.key(""), Recursive: true}) {
		if object.Err != nil {
			return object.Err
		}
		listed++
	}
	if err := Want(listed == len(left), "%d objects are left", listed); err != nil {
		return err
	}
	for name, content := range left {
		if err := p.holds(name, content); err != nil {
			return err
		}
	}
	return nil
}

func hasStatus(err error, status int) error {
	if err != nil && minio.ToErrorResponse(err).StatusCode == status {
		return nil
	}
	return fmt.Errorf("expected status %d, not %v", status, err)
}
