// One full cycle of the AWS SDK for Go v2, with its upload manager and its own defaults.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	. "kheeper/tests/clients/cycle"
)

type program struct {
	Arguments
	ctx context.Context
	s3  *s3.Client
}

func main() {
	arguments := Parse("github.com/aws/aws-sdk-go-v2/service/s3")
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	p := program{arguments, ctx, s3.NewFromConfig(settings, func(o *s3.Options) { o.UsePathStyle = true })}
	if p.Verb == "read" {
		Step("owner reads", p.remains)
		Step("owner is refused to write", func() error { return refused(p.put("stray", Content(9, 10))) })
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

func (p *program) key(name string) *string { return aws.String(p.Prefix + "/" + name) }

func (p *program) put(name string, content []byte) error {
	_, err := p.s3.PutObject(p.ctx, &s3.PutObjectInput{Bucket: &p.Bucket, Key: p.key(name), Body: bytes.NewReader(content)})
	return err
}

func (p *program) get(name string) ([]byte, error) {
	got, err := p.s3.GetObject(p.ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: p.key(name)})
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}

func (p *program) holds(name string, want []byte) error {
	got, err := p.get(name)
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
	uploader := manager.NewUploader(p.s3, func(u *manager.Uploader) { u.PartSize = PartBytes })
	sent, err := uploader.Upload(p.ctx, &s3.PutObjectInput{Bucket: &p.Bucket, Key: p.key("big"), Body: bytes.NewReader(content)})
	if err != nil {
		return err
	}
	got := manager.NewWriteAtBuffer(nil)
	downloader := manager.NewDownloader(p.s3)
	_, err = downloader.Download(p.ctx, got, &s3.GetObjectInput{Bucket: &p.Bucket, Key: p.key("big")})
	return First(err, Want(sent.UploadID != "", "it was sent in one piece"), Same("big", got.Bytes(), content), p.holds("big", content))
}

func (p *program) stream() error {
	content := Content(60, PartBytes+SmallBytes)
	uploader := manager.NewUploader(p.s3)
	_, err := uploader.Upload(p.ctx, &s3.PutObjectInput{
		Bucket: &p.Bucket, Key: p.key("streamed"), Body: Unsized{bytes.NewReader(content)},
	})
	return First(err, p.holds("streamed", content))
}

func (p *program) list() error {
	var keys, folders []string
	pages := s3.NewListObjectsV2Paginator(p.s3, &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: p.key(""), MaxKeys: aws.Int32(2)})
	count := 0
	for ; pages.HasMorePages(); count++ {
		page, err := pages.NextPage(p.ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			keys = append(keys, *object.Key)
		}
	}
	top, err := p.s3.ListObjectsV2(p.ctx, &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: p.key(""), Delimiter: aws.String("/")})
	if err != nil {
		return err
	}
	for _, folder := range top.CommonPrefixes {
		folders = append(folders, *folder.Prefix)
	}
	return First(
		Want(len(keys) == 9 && count == 5, "%d keys on %d pages: %v", len(keys), count, keys),
		Want(len(folders) == 2 && len(top.Contents) == 5, "%v and %d objects", folders, len(top.Contents)),
	)
}

func (p *program) overwrite() error {
	content := Content(70, 1234)
	return First(p.put("small", content), p.holds("small", content))
}

func (p *program) conditions() error {
	put := func(name string, seed int, match, noneMatch *string) error {
		_, err := p.s3.PutObject(p.ctx, &s3.PutObjectInput{
			Bucket: &p.Bucket, Key: p.key(name), Body: bytes.NewReader(Content(seed, 100)), IfMatch: match, IfNoneMatch: noneMatch,
		})
		return err
	}
	head, err := p.s3.HeadObject(p.ctx, &s3.HeadObjectInput{Bucket: &p.Bucket, Key: p.key("small")})
	if err != nil {
		return err
	}
	return First(
		hasStatus(put("small", 80, nil, aws.String("*")), 412),
		put("once", 81, nil, aws.String("*")),
		hasStatus(put("small", 82, aws.String(`"0123456789abcdef0123456789abcdef"`), nil), 412),
		p.holds("small", Content(70, 1234)),
		put("small", 83, head.ETag, nil),
		p.holds("small", Content(83, 100)),
	)
}

func (p *program) ranges() error {
	whole := Content(50, BigBytes)
	for asked, want := range map[string][]byte{
		"bytes=10-19": whole[10:20], "bytes=5242000-5243000": whole[5242000:5243001], "bytes=-100": whole[BigBytes-100:],
	} {
		part, err := p.s3.GetObject(p.ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: p.key("big"), Range: &asked})
		if err != nil {
			return err
		}
		got, err := io.ReadAll(part.Body)
		if err := First(err, Same(asked, got, want)); err != nil {
			return err
		}
	}
	_, err := p.s3.GetObject(p.ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: p.key("big"), Range: aws.String("bytes=99999999-")})
	return hasStatus(err, 416)
}

func (p *program) metadata() error {
	_, err := p.s3.PutObject(p.ctx, &s3.PutObjectInput{
		Bucket: &p.Bucket, Key: p.key("described"), Body: bytes.NewReader(Content(90, 500)),
		ContentType: aws.String("application/x-kept"), Metadata: map[string]string{"origin": "web 01", "count": "3"},
	})
	if err != nil {
		return err
	}
	return p.described("described", "web 01")
}

func (p *program) described(name, origin string) error {
	head, err := p.s3.HeadObject(p.ctx, &s3.HeadObjectInput{Bucket: &p.Bucket, Key: p.key(name)})
	if err != nil {
		return err
	}
	return First(
		Want(aws.ToString(head.ContentType) == "application/x-kept", "content type %v", aws.ToString(head.ContentType)),
		Want(head.Metadata["origin"] == origin, "metadata %v", head.Metadata),
		Want(aws.ToInt64(head.ContentLength) == 500, "length %d", aws.ToInt64(head.ContentLength)),
	)
}

func (p *program) copies() error {
	source := aws.String(p.Bucket + "/" + p.Prefix + "/described")
	_, err := p.s3.CopyObject(p.ctx, &s3.CopyObjectInput{Bucket: &p.Bucket, Key: p.key("copied"), CopySource: source})
	if err := First(err, p.holds("copied", Content(90, 500)), p.described("copied", "web 01")); err != nil {
		return err
	}
	_, err = p.s3.CopyObject(p.ctx, &s3.CopyObjectInput{
		Bucket: &p.Bucket, Key: p.key("copied"), CopySource: source, MetadataDirective: types.MetadataDirectiveReplace,
		ContentType: aws.String("application/x-kept"), Metadata: map[string]string{"origin": "elsewhere"},
	})
	return First(err, p.described("copied", "elsewhere"))
}

func (p *program) deleteMany() error {
	var objects []types.ObjectIdentifier
	for _, name := range []string{"many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus"} {
		objects = append(objects, types.ObjectIdentifier{Key: p.key(name)})
	}
	done, err := p.s3.DeleteObjects(p.ctx, &s3.DeleteObjectsInput{Bucket: &p.Bucket, Delete: &types.Delete{Objects: objects}})
	if err != nil {
		return err
	}
	_, err = p.s3.DeleteObject(p.ctx, &s3.DeleteObjectInput{Bucket: &p.Bucket, Key: p.key("once")})
	return First(err, Want(len(done.Deleted) == 6 && len(done.Errors) == 0, "%d deleted, %v", len(done.Deleted), done.Errors))
}

func (p *program) absent() error {
	_, err := p.get("many/1")
	var noSuchKey *types.NoSuchKey
	_, headErr := p.s3.HeadObject(p.ctx, &s3.HeadObjectInput{Bucket: &p.Bucket, Key: p.key("many/1")})
	var notFound *types.NotFound
	return First(
		Want(errors.As(err, &noSuchKey), "GET: %v", err),
		Want(errors.As(headErr, &notFound), "HEAD: %v", headErr),
	)
}

func (p *program) foreign() error {
	stranger := program{Arguments{Bucket: p.Bucket, Prefix: p.Foreign}, p.ctx, p.s3}
	_, read := stranger.get("small")
	return First(refused(read), refused(stranger.put("small", Content(1, 100))))
}

// remains checks what the cycle leaves, by listing and by content: also what its owner does.
func (p *program) remains() error {
	left := map[string][]byte{
		"big": Content(50, BigBytes), "streamed": Content(60, PartBytes+SmallBytes), "small": Content(83, 100),
		"described": Content(90, 500), "blåbær": Content(2, SmallBytes), "empty": nil,
	}
	listed, err := p.s3.ListObjectsV2(p.ctx, &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: p.key("")})
	if err != nil {
		return err
	}
	if err := Want(len(listed.Contents) == len(left), "%d objects are left", len(listed.Contents)); err != nil {
		return err
	}
	for name, content := range left {
		if err := p.holds(name, content); err != nil {
			return err
		}
	}
	return nil
}

func refused(err error) error { return hasStatus(err, 403) }

func hasStatus(err error, status int) error {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == status {
		return nil
	}
	return fmt.Errorf("expected status %d, not %v", status, err)
}
