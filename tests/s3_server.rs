//! A small S3 server in the test process: real HTTP with signatures, one bucket in memory, and faults to order.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::tester::{Arguments, World};

pub const BUCKET: &str = "lake";
const KEY_ID: &str = "test-key";
const SECRET: &str = "test-secret";
/// Keys in a page of a listing.
const PAGE: usize = 100;
/// Every part of an upload but the last must be as large as that, as S3 wants it.
const SMALLEST_PART: usize = 5 << 20;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Get,
    Head,
    List,
    Put,
    Copy,
    CreateUpload,
    UploadPart,
    UploadPartCopy,
    CompleteUpload,
    AbortUpload,
    Delete,
    /// Credentials of the machine: no test may ever ask for them.
    Metadata,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Refused with this status, nothing done.
    Status(u16),
    /// Nothing done, and status 200 with an error in the body, as S3 answers what takes it long.
    ErrorInside,
    /// The connection is reset before the request is looked at.
    Reset,
    /// The request is done, and the connection is reset instead of an answer.
    Lost,
    /// The body ends in the middle.
    Cut,
    /// The connection is reset in the middle of the body.
    CutReset,
    /// A pause in the middle of the body.
    Slow(Duration),
    /// A pause before the request is looked at.
    Late(Duration),
    /// A pause before the request is looked at, until so many of its kind are there.
    Meet(usize),
}

/// Which requests fail, and how. Which ones depends on the seed and on each request alone, not on their order.
#[derive(Debug, Clone)]
pub struct Faults {
    pub seed: u64,
    /// Share of the requests, 0 to 1.
    pub share: f64,
    /// One of these each.
    pub faults: Vec<Fault>,
    /// Of these kinds only; of all where empty.
    pub kinds: Vec<Kind>,
    /// A request fails this often at most.
    pub times: usize,
}

impl Faults {
    /// The first try of every request of a kind.
    pub fn first(fault: Fault, kinds: impl Into<Vec<Kind>>) -> Self {
        Self { seed: 0, share: 1.0, faults: vec![fault], kinds: kinds.into(), times: 1 }
    }

    /// Every request of a kind, always.
    pub fn always(fault: Fault, kinds: impl Into<Vec<Kind>>) -> Self {
        Self { times: usize::MAX, ..Self::first(fault, kinds) }
    }

    fn of(&self, kind: Kind, request: &str, tried: usize) -> Option<Fault> {
        if tried >= self.times || !(self.kinds.is_empty() || self.kinds.contains(&kind)) {
            return None;
        }
        let hash = blake3::hash(format!("{} {request} {tried}", self.seed).as_bytes());
        let [low, high] = [0, 8].map(|at| u64::from_le_bytes(hash.as_bytes()[at..at + 8].try_into().unwrap()));
        let hit = (low as f64 / u64::MAX as f64) < self.share;
        hit.then(|| self.faults[high as usize % self.faults.len()])
    }
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    etag: String,
    modified: SystemTime,
}

impl Object {
    fn new(bytes: Bytes) -> Self {
        let etag = blake3::hash(&bytes).to_hex()[..32].to_owned();
        Self { bytes, etag, modified: SystemTime::now() }
    }
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<i32, Object>,
    /// The result, once it is complete: completing it again has the same.
    done: Option<String>,
}

/// Another object for a key once it has been read so often.
#[derive(Debug)]
struct Swap {
    reads: usize,
    bytes: Bytes,
}

#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: HashMap<String, Upload>,
    swaps: HashMap<String, Swap>,
}

#[derive(Debug, Default)]
struct Shared {
    bucket: Mutex<Bucket>,
    faults: Mutex<Option<Faults>>,
    tries: Mutex<HashMap<String, usize>>,
    counts: Mutex<BTreeMap<Kind, usize>>,
    failed: AtomicUsize,
    /// Requests that are still answered.
    until_down: AtomicUsize,
    /// Whether an upload that is complete is unknown afterwards, as with some stores.
    forgets_uploads: AtomicBool,
    /// Whether objects have no ETag for who reads without a signature.
    plain_http: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// With an empty bucket.
    pub fn start() -> Self {
        let shared = Arc::new(Shared { until_down: AtomicUsize::new(usize::MAX), ..Shared::default() });
        let (stop, stopped) = oneshot::channel();
        let (started, address) = std::sync::mpsc::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), shared, stop: Some(stop), thread: Some(thread) }
    }

    /// A command of the binary that finds this server, and no other.
    pub fn command(&self, world: &World, arguments: &(impl Arguments + ?Sized)) -> Command {
        let mut command = world.command(arguments);
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_") || name.to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_ENDPOINT", self.endpoint())
            .env("AWS_METADATA_ENDPOINT", self.endpoint())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        lock(&self.shared.bucket).objects.insert(key.to_owned(), Object::new(bytes.into()));
    }

    /// Puts a file or a folder of a world below a prefix, under their own names.
    pub fn put_files(&self, world: &World, name: &str) {
        if world.path(name).is_dir() {
            for file in world.files(name) {
                self.put(&format!("{name}/{file}"), world.bytes(&format!("{name}/{file}")));
            }
        } else {
            self.put(name, world.bytes(name));
        }
    }

    pub fn get(&self, key: &str) -> Option<Bytes> {
        lock(&self.shared.bucket).objects.get(key).map(|object| object.bytes.clone())
    }

    pub fn delete(&self, key: &str) {
        lock(&self.shared.bucket).objects.remove(key);
    }

    /// All keys with this prefix, sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let bucket = lock(&self.shared.bucket);
        bucket.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Uploads that are neither complete nor aborted.
    pub fn open_uploads(&self) -> usize {
        lock(&self.shared.bucket).uploads.values().filter(|upload| upload.done.is_none()).count()
    }

    /// From now on.
    pub fn faults(&self, faults: impl Into<Option<Faults>>) {
        *lock(&self.shared.faults) = faults.into();
        lock(&self.shared.tries).clear();
        self.shared.failed.store(0, Ordering::Relaxed);
    }

    /// How many requests have failed by order.
    pub fn failed(&self) -> usize {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// After so many more requests every one is answered by 503.
    pub fn down_after(&self, requests: usize) {
        self.shared.until_down.store(requests, Ordering::Relaxed);
    }

    pub fn forgets_uploads(&self) {
        self.shared.forgets_uploads.store(true, Ordering::Relaxed);
    }

    pub fn plain_http(&self) {
        self.shared.plain_http.store(true, Ordering::Relaxed);
    }

    /// Puts another object in a key's place once it has been read so often.
    pub fn swap_after(&self, key: &str, reads: usize, bytes: impl Into<Bytes>) {
        lock(&self.shared.bucket).swaps.insert(key.to_owned(), Swap { reads, bytes: bytes.into() });
    }

    /// How many requests of a kind came since the counts began.
    pub fn counted(&self, kind: Kind) -> usize {
        lock(&self.shared.counts).get(&kind).copied().unwrap_or(0)
    }

    /// All counts, which begin again.
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        std::mem::take(&mut *lock(&self.shared.counts))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let served = self.thread.take().unwrap().join();
        assert!(served.is_ok() || std::thread::panicking());
        assert!(self.counted(Kind::Metadata) == 0 || std::thread::panicking(), "the machine was asked for credentials");
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut builder = S3ServiceBuilder::new(Store(Arc::clone(&shared)));
    builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
    builder.set_access(Access);
    let service = builder.build();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (shared, service) = (Arc::clone(&shared), service.clone());
        tokio::spawn(async move {
            // A second handle of the socket: how it is closed is decided while the first is in use.
            let stream = stream.into_std().unwrap();
            let socket = Arc::new(TcpStream::from_std(stream.try_clone().unwrap()).unwrap());
            let stream = TokioIo::new(TcpStream::from_std(stream).unwrap());
            let answer =
                service_fn(move |request| answer(Arc::clone(&shared), service.clone(), Arc::clone(&socket), request));
            // A connection that breaks is the other side's business, or was ordered.
            auto::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await.ok();
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    service: S3Service,
    socket: Arc<TcpStream>,
    request: Request<Incoming>,
) -> io::Result<HttpResponse> {
    let kind = kind(&request);
    *lock(&shared.counts).entry(kind).or_default() += 1;
    if kind == Kind::Metadata {
        return Ok(status(404));
    }
    let before =
        shared.until_down.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(1)));
    if before == Ok(0) {
        return Ok(status(503));
    }
    let anonymous = !request.headers().contains_key("authorization");
    let fault = shared.fault(kind, &request);
    let refusal = match fault {
        Some(Fault::Status(code)) => Some(status(code)),
        Some(Fault::ErrorInside) => Some(error(StatusCode::OK, "SlowDown")),
        Some(Fault::Reset) => return Err(reset(&socket)),
        Some(Fault::Late(pause)) => {
            tokio::time::sleep(pause).await;
            None
        }
        Some(Fault::Meet(count)) => {
            while lock(&shared.counts).get(&kind).is_none_or(|come| *come < count) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            None
        }
        _ => None,
    };
    if let Some(refusal) = refusal {
        // An answer before the end of the question would break the connection.
        Body::from(request.into_body()).try_for_each(|_| std::future::ready(Ok(()))).await.ok();
        return Ok(refusal);
    }
    let mut response = service.call(request.map(Body::from)).await.map_err(|_| io::Error::other("no answer"))?;
    if anonymous && shared.plain_http.load(Ordering::Relaxed) {
        response.headers_mut().remove("etag");
    }
    let Some(fault) = fault.filter(|fault| !matches!(fault, Fault::Late(_) | Fault::Meet(_))) else {
        return Ok(response);
    };
    let (mut head, body) = response.into_parts();
    let parts: Vec<Bytes> = body.try_collect().await.map_err(io::Error::other)?;
    let body = Bytes::from(parts.concat());
    if fault == Fault::Lost || kind == Kind::Head || body.is_empty() {
        return Err(reset(&socket));
    }
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let (first, rest) = (body.slice(..body.len() / 2), body.slice(body.len() / 2..));
    let rest = async move {
        // The first half must be on its way.
        tokio::time::sleep(Duration::from_millis(5)).await;
        match fault {
            Fault::Slow(pause) => {
                tokio::time::sleep(pause).await;
                Ok(rest)
            }
            Fault::CutReset => Err(reset(&socket)),
            _ => Ok(Bytes::new()),
        }
    };
    let halves = stream::iter([Ok(first)]).chain(stream::once(Box::pin(rest)));
    let halves = SyncStream(Mutex::new(halves.boxed()));
    Ok(Response::from_parts(head, StreamingBlob::wrap(halves).into()))
}

/// A stream that may be shared, as the server wants its bodies.
struct SyncStream(Mutex<stream::BoxStream<'static, io::Result<Bytes>>>);

impl futures::Stream for SyncStream {
    type Item = io::Result<Bytes>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        lock(&self.0).poll_next_unpin(context)
    }
}

/// Makes the end of the connection a reset.
fn reset(socket: &TcpStream) -> io::Error {
    socket.set_zero_linger().unwrap();
    io::Error::other("reset to order")
}

fn status(code: u16) -> HttpResponse {
    error(StatusCode::from_u16(code).unwrap(), if code == 503 { "SlowDown" } else { "InternalError" })
}

fn error(status: StatusCode, code: &str) -> HttpResponse {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>to order</Message></Error>");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

fn kind<T>(request: &Request<T>) -> Kind {
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let copies = request.headers().contains_key("x-amz-copy-source");
    if request.uri().path().starts_with("/latest/") {
        return Kind::Metadata;
    }
    match request.method() {
        &Method::HEAD => Kind::Head,
        &Method::PUT if has("uploadId") && copies => Kind::UploadPartCopy,
        &Method::PUT if has("uploadId") => Kind::UploadPart,
        &Method::PUT if copies => Kind::Copy,
        &Method::PUT => Kind::Put,
        &Method::POST if has("uploads") => Kind::CreateUpload,
        &Method::POST if has("uploadId") => Kind::CompleteUpload,
        &Method::DELETE if has("uploadId") => Kind::AbortUpload,
        &Method::POST | &Method::DELETE => Kind::Delete,
        _ if has("list-type") => Kind::List,
        _ => Kind::Get,
    }
}

impl Shared {
    fn fault<T>(&self, kind: Kind, request: &Request<T>) -> Option<Fault> {
        let faults = lock(&self.faults);
        let faults = faults.as_ref()?;
        // Without what differs from run to run.
        let query = request.uri().query().unwrap_or_default().split('&');
        let query: Vec<_> = query.filter(|pair| !pair.starts_with("uploadId=")).collect();
        // What is left to read of a body that broke off is the same request.
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()?.split('-').next_back());
        let request = format!("{kind:?} {} {query:?} {range:?}", request.uri().path());
        let mut tries = lock(&self.tries);
        let tried = tries.entry(request.clone()).or_default();
        let fault = faults.of(kind, &request, *tried);
        *tried += 1;
        self.failed.fetch_add(usize::from(fault.is_some()), Ordering::Relaxed);
        fault
    }
}

/// Everything for who signs, reading for everyone.
struct Access;

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        match (context.credentials(), context.s3_op().name()) {
            (Some(_), _) | (None, "GetObject" | "HeadObject") => Ok(()),
            _ => Err(s3_error!(AccessDenied)),
        }
    }
}

struct Store(Arc<Shared>);

impl Store {
    fn bucket(&self, name: &str) -> S3Result<MutexGuard<'_, Bucket>> {
        if name == BUCKET { Ok(lock(&self.0.bucket)) } else { Err(s3_error!(NoSuchBucket)) }
    }
}

impl Bucket {
    fn object(&self, key: &str, if_match: Option<&ETagCondition>) -> S3Result<Object> {
        let object = self.objects.get(key).ok_or_else(|| s3_error!(NoSuchKey))?;
        let wanted = if_match.and_then(ETagCondition::as_etag);
        match wanted.is_none_or(|wanted| wanted.value() == object.etag) {
            true => Ok(object.clone()),
            false => Err(s3_error!(PreconditionFailed)),
        }
    }

    fn copied(&self, source: &CopySource) -> S3Result<Object> {
        match source {
            CopySource::Bucket { key, .. } => self.object(key, None),
            _ => Err(s3_error!(NotImplemented)),
        }
    }

    fn check_absent(&self, key: &str, if_none_match: Option<&ETagCondition>) -> S3Result<()> {
        match if_none_match {
            Some(condition) if condition.is_any() && self.objects.contains_key(key) => {
                Err(s3_error!(PreconditionFailed))
            }
            _ => Ok(()),
        }
    }

    fn upload(&mut self, id: &str, key: &str) -> S3Result<&mut Upload> {
        self.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or_else(|| s3_error!(NoSuchUpload))
    }
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let parts: Vec<Bytes> = body.try_collect().await.map_err(|error| s3_error!(IncompleteBody, "{error}"))?;
    Ok(parts.concat().into())
}

fn etag(text: &str) -> Option<ETag> {
    Some(ETag::Strong(text.to_owned()))
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let mut bucket = self.bucket(&input.bucket)?;
        let object = bucket.object(&input.key, input.if_match.as_ref())?;
        if let Some(swap) = bucket.swaps.get_mut(&input.key) {
            swap.reads = swap.reads.saturating_sub(1);
            if swap.reads == 0
                && let Some(swap) = bucket.swaps.remove(&input.key)
            {
                bucket.objects.insert(input.key, Object::new(swap.bytes));
            }
        }
        let size = object.bytes.len() as u64;
        let range = input.range.map(|range| range.check(size)).transpose()?;
        let content_range = range.as_ref().map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1));
        let range = range.unwrap_or(0..size);
        let bytes = object.bytes.slice(range.start as usize..range.end as usize);
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: etag(&object.etag),
            last_modified: Some(object.modified.into()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.bucket(&request.input.bucket)?.object(&request.input.key, None)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.bytes.len() as i64),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: etag(&object.etag),
            last_modified: Some(object.modified.into()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let object = Object::new(collect(input.body).await?);
        let mut bucket = self.bucket(&input.bucket)?;
        bucket.check_absent(&input.key, input.if_none_match.as_ref())?;
        let e_tag = etag(&object.etag);
        bucket.objects.insert(input.key, object);
        Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let mut bucket = self.bucket(&input.bucket)?;
        let object = bucket.copied(&input.copy_source)?;
        let result = CopyObjectResult {
            e_tag: etag(&object.etag),
            last_modified: Some(object.modified.into()),
            ..CopyObjectResult::default()
        };
        bucket.objects.insert(input.key, object);
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let delimiter = input.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
        // The token is the last key of the page before.
        let after = input.continuation_token.clone().or(input.start_after).unwrap_or_default();
        let page = input.max_keys.map_or(PAGE, |keys| (keys as usize).min(PAGE));
        let mut output = ListObjectsV2Output { name: Some(input.bucket), ..ListObjectsV2Output::default() };
        let (mut contents, mut folders, mut last) = (Vec::new(), Vec::<String>::new(), None);
        for (key, object) in &bucket.objects {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            let folder = delimiter.as_ref().and_then(|delimiter| {
                let (folder, _) = rest.split_once(delimiter)?;
                Some(format!("{prefix}{folder}{delimiter}"))
            });
            if *key <= after || folder.as_ref().is_some_and(|folder| *folder <= after || folders.contains(folder)) {
                continue;
            }
            if contents.len() + folders.len() == page {
                output.is_truncated = Some(true);
                output.next_continuation_token = last;
                break;
            }
            last = Some(folder.clone().unwrap_or_else(|| key.clone()));
            match folder {
                Some(folder) => folders.push(folder),
                None => contents.push(s3s::dto::Object {
                    key: Some(key.clone()),
                    size: Some(object.bytes.len() as i64),
                    e_tag: etag(&object.etag),
                    last_modified: Some(object.modified.into()),
                    ..s3s::dto::Object::default()
                }),
            }
        }
        output.key_count = Some((contents.len() + folders.len()) as i32);
        output.contents = Some(contents);
        let folders = folders.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) });
        output.common_prefixes = Some(folders.collect());
        Ok(S3Response::new(output))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let mut bucket = self.bucket(&input.bucket)?;
        let id = format!("upload-{}", bucket.uploads.len());
        let upload = Upload { key: input.key.clone(), parts: BTreeMap::new(), done: None };
        bucket.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let part = Object::new(collect(input.body).await?);
        let e_tag = etag(&part.etag);
        let mut bucket = self.bucket(&input.bucket)?;
        bucket.upload(&input.upload_id, &input.key)?.parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = request.input;
        let mut bucket = self.bucket(&input.bucket)?;
        let part = bucket.copied(&input.copy_source)?;
        let result = CopyPartResult {
            e_tag: etag(&part.etag),
            last_modified: Some(part.modified.into()),
            ..CopyPartResult::default()
        };
        bucket.upload(&input.upload_id, &input.key)?.parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let mut guard = self.bucket(&input.bucket)?;
        let bucket = &mut *guard;
        let upload = bucket.upload(&input.upload_id, &input.key)?;
        let output = |result: &str| CompleteMultipartUploadOutput {
            e_tag: etag(result),
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            ..CompleteMultipartUploadOutput::default()
        };
        if let Some(done) = &upload.done {
            return Ok(S3Response::new(output(done)));
        }
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut parts = Vec::new();
        for part in &named {
            let found = part.part_number.and_then(|number| upload.parts.get(&number));
            let found = found.filter(|found| part.e_tag.as_ref().is_some_and(|tag| tag.value() == found.etag));
            parts.push(found.ok_or_else(|| s3_error!(InvalidPart))?.bytes.clone());
        }
        let Some((_, all_but_last)) = parts.split_last() else { return Err(s3_error!(MalformedXML)) };
        if all_but_last.iter().any(|part| part.len() < SMALLEST_PART) {
            return Err(s3_error!(EntityTooSmall));
        }
        let mut object = Object::new(parts.concat().into());
        object.etag = format!("{}-{}", object.etag, parts.len());
        let result = object.etag.clone();
        bucket.check_absent(&input.key, input.if_none_match.as_ref())?;
        bucket.objects.insert(input.key.clone(), object);
        if self.0.forgets_uploads.load(Ordering::Relaxed) {
            bucket.uploads.remove(&input.upload_id);
        } else {
            let upload = bucket.upload(&input.upload_id, &input.key)?;
            (upload.parts, upload.done) = (BTreeMap::new(), Some(result.clone()));
        }
        Ok(S3Response::new(output(&result)))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let mut bucket = self.bucket(&request.input.bucket)?;
        bucket.upload(&request.input.upload_id, &request.input.key)?;
        bucket.uploads.remove(&request.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.bucket(&request.input.bucket)?.objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut bucket = self.bucket(&request.input.bucket)?;
        let deleted = request.input.delete.objects.into_iter().map(|object| {
            bucket.objects.remove(&object.key);
            DeletedObject { key: Some(object.key), ..DeletedObject::default() }
        });
        let deleted = Some(deleted.collect());
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..DeleteObjectsOutput::default() }))
    }
}
