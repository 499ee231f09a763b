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

type client struct {
	minio          *minio.Client
	ctx            context.Context
	bucket, prefix string
}

func main() {
	arguments := Parse("github.com/minio/minio-go/v7")
	endpoint, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	sdk, err := minio.New(endpoint.Host, &minio.Options{Creds: credentials.NewEnvAWS(), Secure: endpoint.Scheme == "https"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	Run(arguments, func(prefix string) Client { return &client{sdk, context.Background(), arguments.Bucket, prefix} })
}

func (c *client) key(name string) string { return c.prefix + "/" + name }

func (c *client) put(name string, body io.Reader, length int, options minio.PutObjectOptions) (minio.UploadInfo, error) {
	return c.minio.PutObject(c.ctx, c.bucket, c.key(name), body, int64(length), options)
}

func (c *client) Put(name string, content []byte, condition Condition) error {
	var options minio.PutObjectOptions
	if condition.Match != "" {
		options.SetMatchETag(condition.Match)
	}
	if condition.NoneMatch != "" {
		options.SetMatchETagExcept(condition.NoneMatch)
	}
	_, err := c.put(name, bytes.NewReader(content), len(content), options)
	return err
}

func (c *client) Get(name string) ([]byte, error) {
	object, err := c.minio.GetObject(c.ctx, c.bucket, c.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

func (c *client) Head(name string) (Head, error) {
	head, err := c.minio.StatObject(c.ctx, c.bucket, c.key(name), minio.StatObjectOptions{})
	return Head{ETag: head.ETag, ContentType: head.ContentType, Origin: head.UserMetadata["Origin"], Length: head.Size}, err
}

func (c *client) Describe(name string, content []byte) error {
	_, err := c.put(name, bytes.NewReader(content), len(content), minio.PutObjectOptions{
		ContentType: ContentType, UserMetadata: map[string]string{"origin": Origin, "count": "3"},
	})
	return err
}

func (c *client) Copy(from, to, origin string) error {
	target := minio.CopyDestOptions{Bucket: c.bucket, Object: c.key(to)}
	if origin != "" {
		target.ReplaceMetadata = true
		target.UserMetadata = map[string]string{"Content-Type": ContentType, "origin": origin}
	}
	_, err := c.minio.CopyObject(c.ctx, target, minio.CopySrcOptions{Bucket: c.bucket, Object: c.key(from)})
	return err
}

func (c *client) Delete(name string) error {
	return c.minio.RemoveObject(c.ctx, c.bucket, c.key(name), minio.RemoveObjectOptions{})
}

func (c *client) DeleteMany(names []string) error {
	doomed := make(chan minio.ObjectInfo)
	go func() {
		defer close(doomed)
		for _, name := range names {
			doomed <- minio.ObjectInfo{Key: c.key(name)}
		}
	}()
	for failed := range c.minio.RemoveObjects(c.ctx, c.bucket, doomed, minio.RemoveObjectsOptions{}) {
		return failed.Err
	}
	return nil
}

func (c *client) Count() (int, error) {
	keys, _, err := c.list(minio.ListObjectsOptions{Recursive: true})
	return keys, err
}

// list counts what a listing shows. What has no ETag is a folder.
func (c *client) list(options minio.ListObjectsOptions) (keys, folders int, err error) {
	options.Prefix = c.key("")
	for object := range c.minio.ListObjects(c.ctx, c.bucket, options) {
		switch {
		case object.Err != nil:
			return keys, folders, object.Err
		case object.ETag == "":
			folders++
		default:
			keys++
		}
	}
	return keys, folders, nil
}

func (c *client) Status(err error) int { return minio.ToErrorResponse(err).StatusCode }

func (c *client) Parts(content []byte) error {
	options := minio.PutObjectOptions{PartSize: PartBytes, SendContentMd5: true}
	sent, err := c.put("big", bytes.NewReader(content), len(content), options)
	return First(err, Want(len(sent.ETag) == 34, "ETag %s is not one of three parts", sent.ETag))
}

func (c *client) Stream(body io.Reader) error {
	_, err := c.put("streamed", body, -1, minio.PutObjectOptions{PartSize: PartBytes})
	return err
}

func (c *client) List() error {
	keys, _, err := c.list(minio.ListObjectsOptions{Recursive: true, MaxKeys: 2})
	objects, folders, oldErr := c.list(minio.ListObjectsOptions{UseV1: true})
	return First(
		err, oldErr,
		Want(keys == 9, "%d keys", keys),
		Want(objects == 5 && folders == 2, "%d objects and %d folders", objects, folders),
	)
}

func (c *client) Ranges(whole []byte) error {
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
		body, _, _, err := minio.Core{Client: c.minio}.GetObject(c.ctx, c.bucket, c.key("big"), options)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(body)
		if err := First(err, Same(fmt.Sprint(asked), got, want)); err != nil {
			return err
		}
	}
	object, err := c.minio.GetObject(c.ctx, c.bucket, c.key("big"), minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	got := make([]byte, 1000)
	_, err = object.ReadAt(got, 5242000)
	return First(err, Same("read at an offset", got, whole[5242000:5243000]))
}

func (c *client) Unsupported() error {
	_, err := c.minio.GetBucketPolicy(c.ctx, c.bucket)
	return err
}

func (c *client) Absent(name string) error {
	_, err := c.Get(name)
	_, headErr := c.Head(name)
	code := minio.ToErrorResponse(err).Code
	return First(
		Want(c.Status(err) == 404 && code == minio.NoSuchKey, "GET: %v", err),
		Want(c.Status(headErr) == 404, "HEAD: %v", headErr),
	)
}
