//! The errors a client can see: their codes, statuses and XML.
//!
//! Codes and statuses are those of the Amazon S3 API Reference, "Error responses", and one of our own
//! ([`S3ErrorCode::XKheeperStorageFull`]) where S3 has none. Status matters as much as the code: clients retry any 500
//! and 503 for minutes, read 404 as "absent", and give up on 403 and 501 at once.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::StatusCode;

use crate::xml::write::Writer;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $status:ident, $message:literal;)*) => {
        /// Every error code that kheeper sends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum S3ErrorCode {
            $($(#[$doc])* $code,)*
        }

        impl S3ErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as it stands in the XML, for instance `NoSuchKey`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)*
                }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)*
                }
            }

            /// What the message says where nobody has anything better to say.
            pub fn default_message(self) -> &'static str {
                match self {
                    $(Self::$code => $message,)*
                }
            }
        }
    };
}

codes! {
    /// The caller may not do this.
    AccessDenied = FORBIDDEN, "Access Denied";
    /// A checksum or Content-MD5 did not match the bytes that arrived.
    BadDigest = BAD_REQUEST, "The checksum you specified did not match the bytes that were received.";
    /// Two writes raced, and this one lost.
    ConditionalRequestConflict = CONFLICT, "A conflicting operation was in progress. Try again.";
    /// The whole object is larger than S3 allows.
    EntityTooLarge = BAD_REQUEST, "Your proposed upload exceeds the maximum allowed size.";
    /// A part other than the last is smaller than S3 allows.
    EntityTooSmall = BAD_REQUEST, "Your proposed upload is smaller than the minimum allowed size.";
    /// The token was validly signed, and its time is over.
    ExpiredToken = BAD_REQUEST, "The provided token has expired.";
    /// The body ended before the length that was declared, or went on after it.
    IncompleteBody = BAD_REQUEST, "The number of bytes that arrived is not the number that was declared.";
    /// Something broke on our side; clients try again.
    InternalError = INTERNAL_SERVER_ERROR, "We encountered an internal error. Please try again.";
    /// A value that cannot be.
    InvalidArgument = BAD_REQUEST, "Invalid argument.";
    /// A Content-MD5 that is not one.
    InvalidDigest = BAD_REQUEST, "The Content-MD5 you specified is not valid.";
    /// A part that was never uploaded, or has another ETag.
    InvalidPart = BAD_REQUEST, "One or more of the specified parts could not be found, or its entity tag did not match.";
    /// A part that the object does not have.
    InvalidPartNumber = RANGE_NOT_SATISFIABLE, "The requested partnumber is not satisfiable.";
    /// Parts that are not in ascending order.
    InvalidPartOrder = BAD_REQUEST, "The list of parts was not in ascending order.";
    /// A range that the object does not have.
    InvalidRange = RANGE_NOT_SATISFIABLE, "The requested range is not satisfiable.";
    /// A request that contradicts itself or the specification.
    InvalidRequest = BAD_REQUEST, "Invalid request.";
    /// A storage class that S3 does not have.
    InvalidStorageClass = BAD_REQUEST, "The storage class you specified is not valid.";
    /// Tags that are not tags.
    InvalidTag = BAD_REQUEST, "The tag provided was not a valid tag.";
    /// A path that cannot be decoded.
    InvalidURI = BAD_REQUEST, "Couldn't parse the specified URI.";
    /// A key of more than 1024 bytes.
    KeyTooLongError = BAD_REQUEST, "Your key is too long.";
    /// A form upload, which is not supported in this shape.
    MalformedPOSTRequest = BAD_REQUEST, "The body of your POST request is not well-formed.";
    /// Trailers that are missing, malformed or not those declared.
    MalformedTrailerError = BAD_REQUEST, "The request contained trailing data that was not well-formed.";
    /// XML that is not well-formed, or not of the shape the operation takes.
    MalformedXML = BAD_REQUEST, "The XML you provided was not well-formed or did not validate.";
    /// Headers or parameters larger than S3 allows to keep.
    MetadataTooLarge = BAD_REQUEST, "Your metadata headers exceed the maximum allowed metadata size.";
    /// A method that this resource does not have.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "The specified method is not allowed against this resource.";
    /// A body whose length nobody declared.
    MissingContentLength = LENGTH_REQUIRED, "You must provide the Content-Length HTTP header.";
    /// The object is not there: said only when the index positively knows.
    NoSuchKey = NOT_FOUND, "The specified key does not exist.";
    /// The upload is not there: never begun, aborted, or completed.
    NoSuchUpload = NOT_FOUND, "The specified multipart upload does not exist.";
    /// What kheeper does not do.
    NotImplemented = NOT_IMPLEMENTED, "A header or query you provided implies functionality that is not implemented.";
    /// The reader's copy is current. Not an error, and it has no body.
    NotModified = NOT_MODIFIED, "Not Modified";
    /// A condition of the request does not hold.
    PreconditionFailed = PRECONDITION_FAILED, "At least one of the preconditions you specified did not hold.";
    /// The namespace is as large as it may become.
    QuotaExceeded = FORBIDDEN, "The quota of this namespace is used up.";
    /// More header bytes than any request needs.
    RequestHeaderSectionTooLarge = BAD_REQUEST, "Your request header section exceeds the maximum allowed size.";
    /// The client stopped sending its body.
    RequestTimeout = BAD_REQUEST, "Your socket connection was not read from or written to within the timeout period.";
    /// Two clocks disagree.
    RequestTimeTooSkewed = FORBIDDEN, "The difference between the request time and the server's time is too large.";
    /// Too many requests at once; clients back off.
    ServiceUnavailable = SERVICE_UNAVAILABLE, "Service is unable to handle the request. Try again.";
    /// Too many requests at once; clients back off.
    SlowDown = SERVICE_UNAVAILABLE, "Please reduce your request rate.";
    /// The payload's SHA-256 is not the one that was declared.
    XAmzContentSHA256Mismatch = BAD_REQUEST, "The provided 'x-amz-content-sha256' header does not match what was computed.";
    /// The disk is full: what is there stays, and nothing is added.
    XKheeperStorageFull = INSUFFICIENT_STORAGE, "The store has no room left for new objects.";
}

impl fmt::Display for S3ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as the client will see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct S3Error {
    /// Which error.
    pub code: S3ErrorCode,
    /// What happened this time, for a person to read.
    pub message: Cow<'static, str>,
    /// Elements that this error has besides `Code` and `Message`, for instance `ActualObjectSize`.
    pub fields: Vec<(&'static str, String)>,
}

impl S3Error {
    /// The error with its default message.
    pub fn new(code: S3ErrorCode) -> Self {
        Self { code, message: Cow::Borrowed(code.default_message()), fields: Vec::new() }
    }

    /// The error with a message of its own.
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// The error with one more element.
    pub fn with_field(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// `InvalidArgument` with the name and value of the argument.
    pub fn invalid_argument(message: impl Into<Cow<'static, str>>, name: &str, value: &str) -> Self {
        Self::new(S3ErrorCode::InvalidArgument)
            .with_message(message)
            .with_field("ArgumentName", name)
            .with_field("ArgumentValue", value)
    }

    /// `InvalidRequest` with a message.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(S3ErrorCode::InvalidRequest).with_message(message)
    }

    /// `NotImplemented`, naming what is not.
    pub fn not_implemented(what: impl fmt::Display) -> Self {
        Self::new(S3ErrorCode::NotImplemented).with_message(format!("{what} is not implemented"))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Whether the answer may have a body at all. The answer to a HEAD has none either, whatever this says.
    pub fn has_body(&self) -> bool {
        self.code != S3ErrorCode::NotModified
    }

    /// The error document. `resource` is the path as it was asked for, `request_id` what the log knows the request by.
    pub fn to_xml(&self, resource: &str, request_id: &str) -> Bytes {
        let mut xml = Writer::document();
        xml.open("Error");
        xml.text("Code", self.code.as_str());
        xml.text("Message", &self.message);
        for (name, value) in &self.fields {
            xml.text(name, value);
        }
        xml.text("Resource", resource);
        xml.text("RequestId", request_id);
        xml.close("Error");
        xml.finish()
    }
}

impl From<S3ErrorCode> for S3Error {
    fn from(code: S3ErrorCode) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_document_names_code_message_resource_and_request() {
        let xml = S3Error::new(S3ErrorCode::NoSuchKey).to_xml("/myorg/web-01/a<b>&c", "4442587FB7D0A2F9");
        assert_eq!(
            xml,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code>\
             <Message>The specified key does not exist.</Message>\
             <Resource>/myorg/web-01/a&lt;b&gt;&amp;c</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"
        );
    }

    #[test]
    fn statuses_are_those_clients_steer_by() {
        for (code, status) in [
            (S3ErrorCode::XKheeperStorageFull, 507),
            (S3ErrorCode::QuotaExceeded, 403),
            (S3ErrorCode::ExpiredToken, 400),
            (S3ErrorCode::RequestTimeTooSkewed, 403),
            (S3ErrorCode::MissingContentLength, 411),
            (S3ErrorCode::PreconditionFailed, 412),
            (S3ErrorCode::ConditionalRequestConflict, 409),
            (S3ErrorCode::InvalidRange, 416),
            (S3ErrorCode::RequestTimeout, 400),
            (S3ErrorCode::SlowDown, 503),
            (S3ErrorCode::NotImplemented, 501),
            (S3ErrorCode::NoSuchUpload, 404),
        ] {
            assert_eq!(code.status().as_u16(), status, "{code}");
        }
    }

    #[test]
    fn only_not_modified_has_no_body() {
        for &code in S3ErrorCode::ALL {
            assert_eq!(S3Error::new(code).has_body(), code != S3ErrorCode::NotModified);
        }
    }
}
