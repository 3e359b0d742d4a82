//! The messages of the Workload API that are used here, by their numbers on the wire (SPIFFE Workload API, workload.proto).

use std::collections::HashMap;

use prost::Message;

/// `X509SVIDRequest`, `X509BundlesRequest`, `JWTBundlesRequest`: nothing to say.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Empty {}

/// `X509SVIDResponse`
#[derive(Clone, PartialEq, Message)]
pub struct X509SvidResponse {
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<X509Svid>,
    #[prost(map = "string, bytes", tag = "3")]
    pub federated_bundles: HashMap<String, Vec<u8>>,
}

/// `X509SVID`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct X509Svid {
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// DER, the leaf first.
    #[prost(bytes = "vec", tag = "2")]
    pub x509_svid: Vec<u8>,
    /// PKCS#8.
    #[prost(bytes = "vec", tag = "3")]
    pub x509_svid_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub bundle: Vec<u8>,
}

/// `X509BundlesResponse`
#[derive(Clone, PartialEq, Message)]
pub struct X509BundlesResponse {
    #[prost(map = "string, bytes", tag = "2")]
    pub bundles: HashMap<String, Vec<u8>>,
}

/// `JWTSVIDRequest`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JwtSvidRequest {
    #[prost(string, repeated, tag = "1")]
    pub audience: Vec<String>,
    #[prost(string, tag = "2")]
    pub spiffe_id: String,
}

/// `JWTSVIDResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JwtSvidResponse {
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<JwtSvid>,
}

/// `JWTSVID`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JwtSvid {
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    #[prost(string, tag = "2")]
    pub svid: String,
}

/// `JWTBundlesResponse`
#[derive(Clone, PartialEq, Message)]
pub struct JwtBundlesResponse {
    #[prost(map = "string, bytes", tag = "1")]
    pub bundles: HashMap<String, Vec<u8>>,
}

/// `ValidateJWTSVIDRequest`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValidateRequest {
    #[prost(string, tag = "1")]
    pub audience: String,
    #[prost(string, tag = "2")]
    pub svid: String,
}

/// `ValidateJWTSVIDResponse`, without the claims, which are optional.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValidateResponse {
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
}
