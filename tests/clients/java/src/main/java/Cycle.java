// One full cycle of the AWS SDK for Java v2, with its transfer manager and the SDK's own defaults.

import java.io.ByteArrayInputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.async.AsyncResponseTransformer;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.CommonPrefix;
import software.amazon.awssdk.services.s3.model.CopyObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.HeadObjectResponse;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Response;
import software.amazon.awssdk.services.s3.model.MetadataDirective;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;
import software.amazon.awssdk.services.s3.model.ServerSideEncryption;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

final class Cycle {
    private static final int PART_BYTES = 5 << 20;
    private static final int BIG_BYTES = 2 * PART_BYTES + 12345;
    private static final int SMALL_BYTES = 70_000;

    private final S3Client s3;
    private final S3AsyncClient async;
    private final String bucket;
    private final String prefix;

    private Cycle(S3Client s3, S3AsyncClient async, String bucket, String prefix) {
        this.s3 = s3;
        this.async = async;
        this.bucket = bucket;
        this.prefix = prefix;
    }

    private interface Step {
        void run() throws Exception;
    }

    public static void main(String[] args) {
        if (args.length == 1 && args[0].equals("version")) {
            System.out.println(VersionInfo.SDK_VERSION);
            return;
        }
        boolean cycles = args.length == 4 && args[0].equals("cycle");
        if (!cycles && !(args.length == 3 && args[0].equals("read"))) {
            System.err.println("usage: version | cycle BUCKET PREFIX FOREIGN-PREFIX | read BUCKET PREFIX");
            System.exit(2);
        }
        S3Client s3 = S3Client.builder().forcePathStyle(true).build();
        S3AsyncClient async =
                S3AsyncClient.builder()
                        .forcePathStyle(true)
                        .multipartEnabled(true)
                        .multipartConfiguration(parts -> parts.minimumPartSizeInBytes((long) PART_BYTES).thresholdInBytes((long) PART_BYTES))
                        .build();
        Cycle cycle = new Cycle(s3, async, args[1], args[2]);
        if (cycles) {
            cycle.all(args[3]);
        } else {
            step("owner reads", cycle::remains);
            step("owner is refused to write", () -> hasStatus(() -> cycle.put("stray", content(9, 10)), 403));
        }
        System.exit(0);
    }

    private void all(String foreign) {
        step("small objects", this::small);
        step("an object in parts", this::parts);
        step("a stream of unknown length", this::stream);
        step("listing by pages", this::list);
        step("overwriting", this::overwrite);
        step("conditional writes", this::conditions);
        step("partial reads", this::ranges);
        step("metadata", this::metadata);
        step("copies", this::copies);
        step("many deleted at once", this::deleteMany);
        step("absent is 404", this::absent);
        step("another host is 403", () -> foreign(foreign));
        step("what is never done is 501", this::unsupported);
        step("what is left", this::remains);
    }

    private static void step(String name, Step step) {
        try {
            step.run();
        } catch (Exception failure) {
            System.out.println("FAILED " + name + ": " + failure);
            failure.printStackTrace();
            System.exit(1);
        }
        System.out.println("did " + name);
    }

    /** What every program, in every language, stores as {@code seed}. */
    private static byte[] content(int seed, int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) (i * 31 + (i >> 8) * 7 + (i >> 16) * 13 + seed);
        }
        return bytes;
    }

    private static void want(boolean condition, Object message) {
        if (!condition) {
            throw new IllegalStateException(String.valueOf(message));
        }
    }

    private static void hasStatus(Step step, int status) throws Exception {
        try {
            step.run();
        } catch (S3Exception failure) {
            want(failure.statusCode() == status, "expected status " + status + ", not " + failure);
            return;
        }
        throw new IllegalStateException("expected status " + status + ", not success");
    }

    private String key(String name) {
        return prefix + "/" + name;
    }

    private PutObjectRequest.Builder at(String name) {
        return PutObjectRequest.builder().bucket(bucket).key(key(name));
    }

    private void put(String name, byte[] content) {
        s3.putObject(at(name).build(), RequestBody.fromBytes(content));
    }

    private byte[] get(String name, String range) throws Exception {
        GetObjectRequest request = GetObjectRequest.builder().bucket(bucket).key(key(name)).range(range).build();
        try (ResponseInputStream<GetObjectResponse> got = s3.getObject(request)) {
            return got.readAllBytes();
        }
    }

    private HeadObjectResponse head(String name) {
        return s3.headObject(request -> request.bucket(bucket).key(key(name)));
    }

    private static void same(String what, byte[] got, byte[] expected) {
        want(Arrays.equals(got, expected), what + ": " + got.length + " bytes came back, and not the " + expected.length + " that were stored");
    }

    private void holds(String name, byte[] expected) throws Exception {
        same(name, get(name, null), expected);
    }

    private void small() throws Exception {
        List<String> names = List.of("small", "with space/and+plus", "blåbær", "many/1", "many/2", "many/3");
        for (int seed = 0; seed < names.size(); seed++) {
            put(names.get(seed), content(seed, SMALL_BYTES));
            holds(names.get(seed), content(seed, SMALL_BYTES));
        }
        put("empty", new byte[0]);
        holds("empty", new byte[0]);
    }

    private void parts() throws Exception {
        byte[] whole = content(50, BIG_BYTES);
        try (S3TransferManager manager = S3TransferManager.builder().s3Client(async).build()) {
            AsyncRequestBody body = AsyncRequestBody.fromBytes(whole);
            String etag =
                    manager.upload(upload -> upload.putObjectRequest(at("big").build()).requestBody(body))
                            .completionFuture().join().response().eTag();
            want(etag.contains("-3"), "ETag " + etag + " is not one of three parts");
        }
        GetObjectRequest request = GetObjectRequest.builder().bucket(bucket).key(key("big")).build();
        same("big, in parts", async.getObject(request, AsyncResponseTransformer.toBytes()).join().asByteArray(), whole);
        holds("big", whole);
    }

    private void stream() throws Exception {
        byte[] whole = content(60, PART_BYTES + SMALL_BYTES);
        var executor = Executors.newSingleThreadExecutor();
        AsyncRequestBody body = AsyncRequestBody.fromInputStream(new ByteArrayInputStream(whole), null, executor);
        async.putObject(at("streamed").build(), body).join();
        executor.shutdown();
        holds("streamed", whole);
    }

    private void list() {
        List<S3Object> objects = new ArrayList<>();
        int pages = 0;
        for (ListObjectsV2Response page : s3.listObjectsV2Paginator(list -> list.bucket(bucket).prefix(key("")).maxKeys(2))) {
            objects.addAll(page.contents());
            pages++;
        }
        want(objects.size() == 9 && pages == 5, objects.size() + " keys on " + pages + " pages");
        ListObjectsV2Response top = s3.listObjectsV2(list -> list.bucket(bucket).prefix(key("")).delimiter("/"));
        List<CommonPrefix> folders = top.commonPrefixes();
        want(folders.size() == 2 && top.contents().size() == 5, folders);
    }

    private void overwrite() throws Exception {
        put("small", content(70, 1234));
        holds("small", content(70, 1234));
    }

    private void conditions() throws Exception {
        String etag = head("small").eTag();
        RequestBody body = RequestBody.fromBytes(content(80, 100));
        hasStatus(() -> s3.putObject(at("small").ifNoneMatch("*").build(), body), 412);
        s3.putObject(at("once").ifNoneMatch("*").build(), body);
        hasStatus(() -> s3.putObject(at("small").ifMatch("\"0123456789abcdef0123456789abcdef\"").build(), body), 412);
        holds("small", content(70, 1234));
        s3.putObject(at("small").ifMatch(etag).build(), RequestBody.fromBytes(content(83, 100)));
        holds("small", content(83, 100));
    }

    private void ranges() throws Exception {
        byte[] whole = content(50, BIG_BYTES);
        same("bytes=10-19", get("big", "bytes=10-19"), Arrays.copyOfRange(whole, 10, 20));
        same("bytes=5242000-5243000", get("big", "bytes=5242000-5243000"), Arrays.copyOfRange(whole, 5242000, 5243001));
        same("bytes=-100", get("big", "bytes=-100"), Arrays.copyOfRange(whole, BIG_BYTES - 100, BIG_BYTES));
        hasStatus(() -> get("big", "bytes=99999999-"), 416);
    }

    private void metadata() {
        PutObjectRequest request =
                at("described").contentType("application/x-kept").metadata(Map.of("origin", "web 01", "count", "3")).build();
        s3.putObject(request, RequestBody.fromBytes(content(90, 500)));
        described("described", "web 01");
    }

    private void described(String name, String origin) {
        HeadObjectResponse head = head(name);
        want(head.contentType().equals("application/x-kept"), head);
        want(origin.equals(head.metadata().get("origin")), head);
        want(head.contentLength() == 500, head);
    }

    private void copies() throws Exception {
        CopyObjectRequest copy =
                CopyObjectRequest.builder().sourceBucket(bucket).sourceKey(key("described"))
                        .destinationBucket(bucket).destinationKey(key("copied")).build();
        s3.copyObject(copy);
        holds("copied", content(90, 500));
        described("copied", "web 01");
        s3.copyObject(
                copy.toBuilder().metadataDirective(MetadataDirective.REPLACE).contentType("application/x-kept")
                        .metadata(Map.of("origin", "elsewhere")).build());
        described("copied", "elsewhere");
    }

    private void deleteMany() {
        List<ObjectIdentifier> doomed = new ArrayList<>();
        for (String name : List.of("many/1", "many/2", "many/3", "never there", "copied", "with space/and+plus")) {
            doomed.add(ObjectIdentifier.builder().key(key(name)).build());
        }
        var done = s3.deleteObjects(request -> request.bucket(bucket).delete(delete -> delete.objects(doomed)));
        want(done.deleted().size() == 6 && done.errors().isEmpty(), done);
        s3.deleteObject(request -> request.bucket(bucket).key(key("once")));
    }

    private void absent() throws Exception {
        try {
            get("many/1", null);
            want(false, "a deleted object was read");
        } catch (NoSuchKeyException expected) {
            want(expected.statusCode() == 404, expected);
        }
        hasStatus(() -> head("many/1"), 404);
    }

    private void foreign(String foreign) throws Exception {
        Cycle stranger = new Cycle(s3, async, bucket, foreign);
        hasStatus(() -> stranger.get("small", null), 403);
        hasStatus(() -> stranger.put("small", content(1, 100)), 403);
    }

    private void unsupported() throws Exception {
        PutObjectRequest request = at("encrypted").serverSideEncryption(ServerSideEncryption.AWS_KMS).build();
        hasStatus(() -> s3.putObject(request, RequestBody.fromBytes(content(1, 100))), 501);
    }

    /** What the cycle leaves, by listing and by content: also what its owner reads. */
    private void remains() throws Exception {
        Map<String, byte[]> left =
                Map.of(
                        "big", content(50, BIG_BYTES),
                        "streamed", content(60, PART_BYTES + SMALL_BYTES),
                        "small", content(83, 100),
                        "described", content(90, 500),
                        "blåbær", content(2, SMALL_BYTES),
                        "empty", new byte[0]);
        ListObjectsV2Response listed = s3.listObjectsV2(list -> list.bucket(bucket).prefix(key("")));
        want(listed.keyCount() == left.size(), listed.keyCount() + " objects are left");
        for (Map.Entry<String, byte[]> entry : left.entrySet()) {
            holds(entry.getKey(), entry.getValue());
        }
    }
}
