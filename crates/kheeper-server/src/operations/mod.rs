//! One file for each S3 operation; what several share is in `object_headers` and `listing`.

pub(crate) mod abort_multipart_upload;
pub(crate) mod bucket;
pub(crate) mod complete_multipart_upload;
pub(crate) mod copy_object;
pub(crate) mod create_multipart_upload;
pub(crate) mod delete_object;
pub(crate) mod delete_objects;
pub(crate) mod get_object;
pub(crate) mod get_object_attributes;
pub(crate) mod head_object;
pub(crate) mod list_buckets;
pub(crate) mod list_multipart_uploads;
pub(crate) mod list_objects_v1;
pub(crate) mod list_objects_v2;
pub(crate) mod list_parts;
mod object_headers;
mod precondition;
pub(crate) mod put_object;
mod read_span;
pub(crate) mod tagging;
pub(crate) mod upload_part;
pub(crate) mod upload_part_copy;
