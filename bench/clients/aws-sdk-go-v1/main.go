// Stores COUNT objects of BYTES bytes through the upload manager of the AWS SDK for Go v1, as wal-g does, one after the
// other; prints the microseconds of each.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3/s3manager"
)

func main() {
	bucket, prefix := os.Args[1], os.Args[2]
	count, _ := strconv.Atoi(os.Args[3])
	size, _ := strconv.Atoi(os.Args[4])
	settings := aws.NewConfig().WithEndpoint(os.Getenv("AWS_ENDPOINT_URL")).WithS3ForcePathStyle(true)
	uploader := s3manager.NewUploader(session.Must(session.NewSession(settings)), func(u *s3manager.Uploader) {
		u.PartSize = 20 << 20
	})
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i * 31)
	}
	for number := range count {
		key := fmt.Sprintf("%s/%d", prefix, number)
		begun := time.Now()
		// wal-g's readers are streams: they cannot seek.
		stream := struct{ io.Reader }{bytes.NewReader(body)}
		if _, err := uploader.Upload(&s3manager.UploadInput{Bucket: &bucket, Key: &key, Body: stream}); err != nil {
			log.Fatal(err)
		}
		fmt.Println(time.Since(begun).Microseconds())
	}
}
