//! What clients ask of a bucket before they begin. The bucket is the caller's org, or they would not have come here.

use http::header::{HeaderName, LOCATION};
use http::{Response, StatusCode};
use kheeper_model::OrgName;
use kheeper_s3::S3Error;
use kheeper_s3::xml::response;

use crate::request::respond::{self, ResponseBody};

/// The only region there is.
const REGION: &str = "us-east-1";

/// `HEAD /bucket`
pub(crate) fn head() -> Result<Response<ResponseBody>, S3Error> {
    let mut answer = respond::status(StatusCode::OK);
    respond::set(&mut answer, HeaderName::from_static("x-amz-bucket-region"), REGION);
    Ok(answer)
}

/// `PUT /bucket`: it is there already, and it is the caller's; us-east-1 answers 200 to that.
pub(crate) fn create(bucket: &OrgName) -> Result<Response<ResponseBody>, S3Error> {
    let mut answer = respond::status(StatusCode::OK);
    respond::set(&mut answer, LOCATION, &format!("/{bucket}"));
    Ok(answer)
}

/// `GET /bucket?location`
pub(crate) fn location() -> Result<Response<ResponseBody>, S3Error> {
    Ok(respond::xml(response::bucket_location()))
}

/// `GET /bucket?versioning`: never enabled. `Enabled` would make wal-g list versions.
pub(crate) fn versioning() -> Result<Response<ResponseBody>, S3Error> {
    Ok(respond::xml(response::bucket_versioning()))
}
