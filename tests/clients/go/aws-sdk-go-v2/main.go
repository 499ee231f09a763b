// One full cycle of the AWS SDK for Go v2, with its upload manager and its own defaults.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	. "kheeper/tests/clients/cycle"
)

type client struct {
	s3     *s3.Client
	ctx    context.Context
	bucket *string
	prefix string
}

func main() {
	arguments := Parse("github.com/aws/aws-sdk-go-v2/service/s3")
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	sdk := s3.NewFromConfig(settings, func(o *s3.Options) { o.UsePathStyle = true })
	Run(arguments, func(prefix string) Client { return &client{sdk, ctx, &arguments.Bucket, prefix} })
}

func (c *client) key(name string) *string { return aws.String(c.prefix + "/" + name) }

func (c *client) Put(name string, content []byte, condition Condition) error {
	put := &s3.PutObjectInput{Bucket: c.bucket, Key: c.key(name), Body: bytes.NewReader(content)}
	if condition.Match != "" {
		put.IfMatch = aws.String(`"` + condition.Match + `"`)
	}
	if condition.NoneMatch != "" {
		put.IfNoneMatch = &condition.NoneMatch
	}
	_, err := c.s3.PutObject(c.ctx, put)
	return err
}

func (c *client) Get(name string) ([]byte, error) {
	return c.get(name, nil)
}

func (c *client) get(name string, bytes *string) ([]byte, error) {
	got, err := c.s3.GetObject(c.ctx, &s3.GetObjectInput{Bucket: c.bucket, Key: c.key(name), Range: bytes})
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}

func (c *client) Head(name string) (Head, error) {
	head, err := c.s3.HeadObject(c.ctx, &s3.HeadObjectInput{Bucket: c.bucket, Key: c.key(name)})
	if err != nil {
		return Head{}, err
	}
	etag, contentType := strings.Trim(aws.ToString(head.ETag), `"`), aws.ToString(head.ContentType)
	return Head{ETag: etag, ContentType: contentType, Origin: head.Metadata["origin"], Length: aws.ToInt64(head.ContentLength)}, nil
}

func (c *client) Describe(name string, content []byte) error {
	_, err := c.s3.PutObject(c.ctx, &s3.PutObjectInput{
		Bucket: c.bucket, Key: c.key(name), Body: bytes.NewReader(content),
		ContentType: aws.String(ContentType), Metadata: map[string]string{"origin": Origin, "count": "3"},
	})
	return err
}

func (c *client) Copy(from, to, origin string) error {
	source := *c.bucket + "/" + *c.key(from)
	copied := &s3.CopyObjectInput{Bucket: c.bucket, Key: c.key(to), CopySource: &source}
	if origin != "" {
		copied.MetadataDirective = types.MetadataDirectiveReplace
		copied.ContentType, copied.Metadata = aws.String(ContentType), map[string]string{"origin": origin}
	}
	_, err := c.s3.CopyObject(c.ctx, copied)
	return err
}

func (c *client) Delete(name string) error {
	_, err := c.s3.DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: c.bucket, Key: c.key(name)})
	return err
}

func (c *client) DeleteMany(names []string) error {
	var objects []types.ObjectIdentifier
	for _, name := range names {
		objects = append(objects, types.ObjectIdentifier{Key: c.key(name)})
	}
	done, err := c.s3.DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: c.bucket, Delete: &types.Delete{Objects: objects}})
	if err != nil {
		return err
	}
	return Want(len(done.Deleted) == len(names) && len(done.Errors) == 0, "%d deleted, %v", len(done.Deleted), done.Errors)
}

func (c *client) Count() (int, error) {
	listed, err := c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: c.key("")})
	if err != nil {
		return 0, err
	}
	return len(listed.Contents), nil
}

func (c *client) Status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

func (c *client) Parts(content []byte) error {
	uploader := manager.NewUploader(c.s3, func(u *manager.Uploader) { u.PartSize = PartBytes })
	sent, err := uploader.Upload(c.ctx, &s3.PutObjectInput{Bucket: c.bucket, Key: c.key("big"), Body: bytes.NewReader(content)})
	if err != nil {
		return err
	}
	got := manager.NewWriteAtBuffer(nil)
	_, err = manager.NewDownloader(c.s3).Download(c.ctx, got, &s3.GetObjectInput{Bucket: c.bucket, Key: c.key("big")})
	return First(err, Want(sent.UploadID != "", "it was sent in one piece"), Same("big", got.Bytes(), content))
}

func (c *client) Stream(body io.Reader) error {
	_, err := manager.NewUploader(c.s3).Upload(c.ctx, &s3.PutObjectInput{Bucket: c.bucket, Key: c.key("streamed"), Body: body})
	return err
}

func (c *client) List() error {
	keys, count := 0, 0
	pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: c.key(""), MaxKeys: aws.Int32(2)})
	for ; pages.HasMorePages(); count++ {
		page, err := pages.NextPage(c.ctx)
		if err != nil {
			return err
		}
		keys += len(page.Contents)
	}
	top, err := c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: c.bucket, Prefix: c.key(""), Delimiter: aws.String("/")})
	if err != nil {
		return err
	}
	folders, objects := len(top.CommonPrefixes), len(top.Contents)
	return First(
		Want(keys == 9 && count == 5, "%d keys on %d pages", keys, count),
		Want(folders == 2 && objects == 5, "%d folders and %d objects", folders, objects),
	)
}

func (c *client) Ranges(whole []byte) error {
	for asked, want := range map[string][]byte{
		"bytes=10-19": whole[10:20], "bytes=5242000-5243000": whole[5242000:5243001], "bytes=-100": whole[BigBytes-100:],
	} {
		got, err := c.get("big", &asked)
		if err := First(err, Same(asked, got, want)); err != nil {
			return err
		}
	}
	_, err := c.get("big", aws.String("bytes=99999999-"))
	return Want(c.Status(err) == 416, "a range behind the end: %v", err)
}

func (c *client) Unsupported() error {
	_, err := c.s3.PutObject(c.ctx, &s3.PutObjectInput{
		Bucket: c.bucket, Key: c.key("encrypted"), Body: bytes.NewReader(Content(1, 100)),
		ServerSideEncryption: types.ServerSideEncryptionAwsKms,
	})
	return err
}

func (c *client) Absent(name string) error {
	_, err := c.Get(name)
	_, headErr := c.Head(name)
	var noSuchKey *types.NoSuchKey
	var notFound *types.NotFound
	return First(
		Want(errors.As(err, &noSuchKey), "GET: %v", err),
		Want(errors.As(headErr, &notFound), "HEAD: %v", headErr),
	)
}
