/// Why a connection's bytes are not handed on. Each names a rule, and holds nothing of what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FramingError {
    /// A line ended without its carriage return (RFC 9112, 2.2).
    #[error("there is a bare line feed")]
    BareLineFeed,
    /// A carriage return stood where no line ends (RFC 9112, 2.2).
    #[error("there is a bare carriage return")]
    BareCarriageReturn,
    /// More than one empty line before a request (RFC 9112, 2.2).
    #[error("there are empty lines before the request")]
    EmptyLines,
    /// Not `METHOD SP target SP HTTP/1.x` (RFC 9112, 3).
    #[error("the request line is not valid")]
    RequestLine,
    /// A byte that stands in no target (RFC 3986, 2).
    #[error("the request target holds a byte that must be escaped")]
    Target,
    /// Longer than allowed before its target ended.
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    /// Longer than allowed.
    #[error("the request head is longer than allowed")]
    HeadTooLarge,
    /// It did not come whole in time.
    #[error("the request head took too long")]
    HeadTooSlow,
    /// More header fields than allowed.
    #[error("there are more header fields than allowed")]
    TooManyFields,
    /// A line that goes the last one on (RFC 9112, 5.2), or white space where a name begins.
    #[error("a header line begins with white space")]
    FoldedLine,
    /// White space between a name and its colon (RFC 9112, 5.1).
    #[error("there is white space before a colon")]
    SpaceBeforeColon,
    /// A name that is no token, or none at all (RFC 9110, 5.1).
    #[error("a header name is not valid")]
    FieldName,
    /// A control byte in a value (RFC 9110, 5.5).
    #[error("a header value holds a control byte")]
    FieldValue,
    /// A name that some servers read as one that frames the body.
    #[error("a header name looks like one that frames the body")]
    LookalikeName,
    /// `Content-Length` and `Transfer-Encoding` (RFC 9112, 6.3; SECURITY F1).
    #[error("there is a Content-Length and a Transfer-Encoding")]
    TwoFramings,
    /// A coding other than `chunked` once (SECURITY F2).
    #[error("the Transfer-Encoding is not chunked alone")]
    NotChunked,
    /// Before HTTP/1.1 there were no codings (RFC 9112, 6.1; SECURITY F3).
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    CodingInHttp10,
    /// Not one plain number (SECURITY F4).
    #[error("the Content-Length is not one plain number")]
    Length,
    /// RFC 9112, 3.2 wants one.
    #[error("there is no Host")]
    NoHost,
    /// RFC 9112, 3.2 wants one only.
    #[error("there is more than one Host")]
    TwoHosts,
    /// Not hexadecimal digits alone, or too many of them (RFC 9112, 7.1; SECURITY F5).
    #[error("a chunk's size is not one plain number")]
    ChunkSize,
    /// Something other than a line's end behind a chunk's data.
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// No name, or a byte that is not visible (RFC 9112, 7.1.1).
    #[error("a chunk extension is not valid")]
    ChunkExtension,
    /// More than 16 KiB of extensions in one body (SECURITY F6).
    #[error("the chunk extensions are longer than allowed")]
    ExtensionsTooLong,
    /// The trailers are larger than 16 KiB (SECURITY F6).
    #[error("the trailers are longer than allowed")]
    TrailersTooLong,
    /// More frames of HTTP/2 that are no requests than anybody needs (RFC 9113, 10.5; SECURITY P11).
    #[error("there are too many frames that bring nothing")]
    TooManyFrames,
    /// A trailer that would frame the body, or name the target, behind both (RFC 9110, 6.5.1; SECURITY F6).
    #[error("a trailer frames the body or names the host")]
    ForbiddenTrailer,
}
