//! The rows of S3: for each operation, the requests that stand for it, and what they need.

use kheeper_e2e::Request;
use kheeper_e2e::s3::{complete_body, delete_body};
use kheeper_s3::OperationKind;
use kheeper_s3::cursor;
use kheeper_s3::header::{Policy, QUERY_POLICY};

use super::callers::{Aim, Caller, Right, STORED, Target};

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// To be somebody.
    Identity,
    /// To have anything in the bucket.
    Bucket,
    /// To list what lies below a prefix.
    List,
    /// To see the namespace's open uploads.
    Uploads,
    /// The same, of the whole bucket where the target is its root.
    ListUploads,
    Read,
    /// To read what was, and is not for hosts.
    ReadPast,
    Write,
    /// To write into the own namespace, and to read the target as one's own.
    CopyFrom,
    /// To read the target, and not by a grant.
    ReadAsOwn,
    /// To write into any namespace of the bucket.
    WriteInBucket,
}

/// One way to ask for an operation.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    /// The status where it is allowed.
    pub(super) status: u16,
    pub(super) build: fn(&Aim<'_>) -> Request,
}

/// Whether `caller` may do at `target` what needs `needs`.
pub(super) fn allowed(caller: Caller, needs: Needs, target: Target) -> bool {
    let right = caller.right(target);
    match needs {
        Needs::Identity => caller.is_known(),
        Needs::Bucket => caller.is_in_the_org_of(target),
        Needs::List if target == Target::OrgRoot => caller.is_in_the_org_of(target),
        Needs::List | Needs::Read => right != Right::Nothing,
        Needs::ReadPast => right == Right::Read && caller.is_person(),
        Needs::ListUploads if target == Target::OrgRoot => caller.is_in_the_org_of(target) && !caller.is_person(),
        Needs::Uploads | Needs::ListUploads => matches!(right, Right::ReadOwn | Right::Write),
        Needs::Write | Needs::CopyFrom => right == Right::Write,
        Needs::ReadAsOwn => {
            matches!(right, Right::ReadOwn | Right::Write) || (right == Right::Read && caller.is_person())
        }
        Needs::WriteInBucket => {
            caller.right(Target::Own) == Right::Write && caller.is_in_the_org_of(target)
                || caller == Caller::OtherHost && target == Target::OtherOrg
        }
    }
}

const fn row(name: &'static str, needs: Needs, status: u16, build: fn(&Aim<'_>) -> Request) -> Row {
    Row { name, needs, status, build }
}

/// The rows of an operation: none is no answer, and the compiler asks for those of a new one.
pub(super) fn rows(kind: OperationKind) -> Vec<Row> {
    use Needs::*;
    match kind {
        OperationKind::ListBuckets => vec![row("ListBuckets", Identity, 200, |aim| aim.door.request("GET", "/"))],
        OperationKind::HeadBucket => vec![row("HeadBucket", Bucket, 200, |aim| bucket(aim, "HEAD", ""))],
        OperationKind::CreateBucket => vec![row("CreateBucket", Bucket, 200, |aim| bucket(aim, "PUT", ""))],
        OperationKind::DeleteBucket => vec![row("DeleteBucket", Bucket, 501, |aim| bucket(aim, "DELETE", ""))],
        OperationKind::GetBucketLocation => {
            vec![row("GetBucketLocation", Bucket, 200, |aim| bucket(aim, "GET", "?location"))]
        }
        OperationKind::GetBucketVersioning => {
            vec![row("GetBucketVersioning", Bucket, 200, |aim| bucket(aim, "GET", "?versioning"))]
        }
        OperationKind::ListObjectsV1 => vec![
            row("ListObjectsV1", List, 200, |aim| list(aim, "?")),
            row("ListObjectsV1, a foreign marker", List, 200, |aim| list(aim, "?marker=web-011/")),
            row("ListObjectsV1, a delimiter", List, 200, |aim| list(aim, "?delimiter=0")),
        ],
        OperationKind::ListObjectsV2 => vec![
            row("ListObjectsV2", List, 200, |aim| list(aim, "?list-type=2")),
            row("ListObjectsV2, a foreign start", List, 200, |aim| list(aim, "?list-type=2&start-after=web-011/")),
            row("ListObjectsV2, a cursor of the target", List, 200, |aim| {
                let token = cursor::encode(format!("{}n", aim.prefix).as_bytes());
                list(aim, &format!("?list-type=2&continuation-token={token}"))
            }),
            // What does not parse is told to whoever has anything in the bucket: it says nothing of what is there.
            row("ListObjectsV2, a cursor that is none", Bucket, 400, |aim| {
                list(aim, "?list-type=2&continuation-token=%25")
            }),
        ],
        OperationKind::ListMultipartUploads => vec![
            row("ListMultipartUploads", ListUploads, 200, |aim| list(aim, "?uploads")),
            row("ListMultipartUploads, a foreign marker", ListUploads, 200, |aim| {
                list(aim, "?uploads&key-marker=web-011/big&upload-id-marker=20261101-00000000000000000000000000000000")
            }),
        ],
        OperationKind::DeleteObjects => vec![
            row("DeleteObjects", Write, 200, |aim| delete(aim, &[format!("{}doomed-too", aim.prefix)])),
            row("DeleteObjects, an own key first", Write, 200, |aim| {
                let own = aim.own.split_once('/').map_or("", |(_, host)| host);
                delete(aim, &[format!("{own}/never-there"), format!("{}never-there", aim.prefix)])
            }),
            // Refused before a key of it is looked at, so it says nothing of any.
            row("DeleteObjects, a version", WriteInBucket, 501, |aim| {
                let body = delete_body([format!("{}object", aim.prefix)], false);
                send_delete(aim, body.replace("</Key>", "</Key><VersionId>3</VersionId>"))
            }),
        ],
        OperationKind::GetObject => vec![
            row("GetObject", Read, 200, |aim| object(aim, "GET", "")),
            row("GetObject, a range", Read, 206, |aim| object(aim, "GET", "").header("Range", "bytes=0-3")),
            row("GetObject, a part", Read, 206, |aim| object(aim, "GET", "?partNumber=1")),
            row("GetObject, not there", Read, 404, |aim| aim.door.request("GET", &aim.path("never-there"))),
            row("GetObject, as it was", ReadPast, 404, |aim| {
                object(aim, "GET", "").header("x-kheeper-at", "1700000000000")
            }),
        ],
        OperationKind::HeadObject => vec![
            row("HeadObject", Read, 200, |aim| object(aim, "HEAD", "")),
            row("HeadObject, not there", Read, 404, |aim| aim.door.request("HEAD", &aim.path("never-there"))),
        ],
        OperationKind::GetObjectAttributes => vec![row("GetObjectAttributes", Read, 200, |aim| {
            object(aim, "GET", "?attributes").header("x-amz-object-attributes", "ETag,ObjectSize")
        })],
        OperationKind::GetObjectTagging => {
            vec![row("GetObjectTagging", Read, 200, |aim| object(aim, "GET", "?tagging"))]
        }
        OperationKind::PutObjectTagging => vec![row("PutObjectTagging", Write, 200, |aim| {
            let tags = "<Tagging><TagSet><Tag><Key>stolen</Key><Value>1</Value></Tag></TagSet></Tagging>";
            object(aim, "PUT", "?tagging").body(tags)
        })],
        OperationKind::DeleteObjectTagging => {
            vec![row("DeleteObjectTagging", Write, 204, |aim| object(aim, "DELETE", "?tagging"))]
        }
        OperationKind::PutObject => vec![
            row("PutObject", Write, 200, |aim| aim.door.put_request(&aim.path("object"), STORED)),
            row("PutObject, new", Write, 200, |aim| aim.door.put_request(&aim.path("new"), STORED)),
        ],
        OperationKind::DeleteObject => {
            vec![row("DeleteObject", Write, 204, |aim| aim.door.request("DELETE", &aim.path("doomed")))]
        }
        OperationKind::CopyObject => vec![
            row("CopyObject, from the target", CopyFrom, 200, |aim| {
                copy(aim.door.request("PUT", &aim.own_path("copy")), &aim.path("object"))
            }),
            row("CopyObject, from a version of the target", ReadAsOwn, 501, |aim| {
                copy(aim.door.request("PUT", &aim.own_path("copy")), &format!("{}?versionId=3", aim.path("object")))
            }),
            row("CopyObject, to the target", Write, 200, |aim| {
                copy(aim.door.request("PUT", &aim.path("copy")), &aim.own_path("source"))
            }),
        ],
        OperationKind::UploadPartCopy => vec![
            row("UploadPartCopy, from the target", CopyFrom, 404, |aim| {
                let path = aim.own_path("copy?partNumber=1&uploadId=20261101-00000000000000000000000000000000");
                copy(aim.door.request("PUT", &path), &aim.path("object"))
            }),
            row("UploadPartCopy, from a version of the target", ReadAsOwn, 501, |aim| {
                let path = aim.own_path("copy?partNumber=1&uploadId=20261101-00000000000000000000000000000000");
                copy(aim.door.request("PUT", &path), &format!("{}?versionId=3", aim.path("object")))
            }),
            row("UploadPartCopy, to the target", Write, 200, |aim| {
                let path = of_upload(aim, "big", &aim.uploads.open) + "&partNumber=2";
                copy(aim.door.request("PUT", &path), &aim.own_path("source"))
            }),
        ],
        OperationKind::CreateMultipartUpload => vec![row("CreateMultipartUpload", Write, 200, |aim| {
            aim.door.request("POST", &aim.path("another?uploads")).body("")
        })],
        OperationKind::UploadPart => vec![row("UploadPart", Write, 200, |aim| {
            aim.door.put_request(&(of_upload(aim, "big", &aim.uploads.open) + "&partNumber=1"), STORED)
        })],
        OperationKind::ListParts => vec![
            row("ListParts", Uploads, 200, |aim| aim.door.request("GET", &of_upload(aim, "big", &aim.uploads.open))),
            row("ListParts, another key's upload", Uploads, 404, |aim| {
                aim.door.request("GET", &of_upload(aim, "object", &aim.uploads.open))
            }),
        ],
        OperationKind::CompleteMultipartUpload => vec![row("CompleteMultipartUpload", Write, 200, |aim| {
            let path = of_upload(aim, "finished", &aim.uploads.finished);
            aim.door.request("POST", &path).body(complete_body(&[(1, aim.uploads.finished_etag.as_str())]))
        })],
        OperationKind::AbortMultipartUpload => vec![row("AbortMultipartUpload", Write, 204, |aim| {
            aim.door.request("DELETE", &of_upload(aim, "given-up", &aim.uploads.given_up))
        })],
    }
}

/// The sub-resources that kheeper has none of, as they stand in a query: those of the one list, the ids of versions, and
/// one that nobody has.
pub(super) fn refused_sub_resources() -> Vec<String> {
    let listed = QUERY_POLICY.iter().filter(|(_, policy)| matches!(policy, Policy::Refuse));
    let listed = listed.map(|(name, _)| (*name).to_owned());
    listed.chain(["versionId=3".into(), "made-up".into()]).collect()
}

fn bucket(aim: &Aim<'_>, method: &str, query: &str) -> Request {
    aim.door.request(method, &format!("/{}{query}", aim.bucket))
}

fn list(aim: &Aim<'_>, query: &str) -> Request {
    aim.door.request("GET", &format!("/{}{query}&prefix={}", aim.bucket, aim.prefix))
}

fn object(aim: &Aim<'_>, method: &str, query: &str) -> Request {
    aim.door.request(method, &format!("{}{query}", aim.path("object")))
}

fn of_upload(aim: &Aim<'_>, name: &str, id: &str) -> String {
    format!("{}?uploadId={id}", aim.path(name))
}

fn copy(request: Request, source: &str) -> Request {
    request.header("x-amz-copy-source", source).body("")
}

fn delete(aim: &Aim<'_>, keys: &[String]) -> Request {
    send_delete(aim, delete_body(keys, false))
}

fn send_delete(aim: &Aim<'_>, body: String) -> Request {
    let md5 = kheeper_e2e::digest::md5_base64(body.as_bytes());
    aim.door.request("POST", &format!("/{}?delete", aim.bucket)).header("Content-MD5", &md5).body(body)
}
