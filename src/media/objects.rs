//! The object store: a folder of this machine, or S3 and what speaks like it.
//!
//! A file goes there in parts of bounded size, a few files at a time, and comes back in windows: neither is ever in
//! memory as a whole, and a slow reader holds no connection to the store.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, MultipartUpload, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
};
use tokio::sync::Semaphore;

use crate::domain::media::MediaKey;

use super::spool::Spooled;

mod listing;

/// The least that S3 takes as a part of an upload, but for its last.
const PART: usize = 5 << 20;
/// A folder takes any.
const FOLDER_PART: usize = 256 << 10;
/// Files that are put at a time, others wait on the disk: parts of 5 MiB are 10 MiB, twice that while the allocator
/// still keeps the ones before.
const PUTS: usize = 2;
/// What is read of an object at a time: a download holds one window, and 256 of them are 32 MiB.
const WINDOW: u64 = 128 << 10;
/// For one request to the store: a part of 5 MiB in 30 s is 170 KiB/s.
const REQUEST: Duration = Duration::from_secs(30);
/// A store that is there answers at once.
const CONNECT: Duration = Duration::from_secs(3);
/// A request is tried again after 0.1, 0.2 and 0.4 s or so: a restart of a proxy passes unnoticed, and clients hear
/// within seconds that the store is away.
const RETRIES: usize = 3;

/// Where the bytes are.
#[derive(Debug, Clone)]
pub enum Location {
    Folder(PathBuf),
    S3(S3),
}

/// A bucket.
#[derive(Clone)]
pub struct S3 {
    /// Empty: Amazon's of the region.
    pub endpoint: Option<String>,
    /// How clients reach it, if not in the same way; signed URLs are made for this one.
    pub public_endpoint: Option<String>,
    pub bucket: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// What the name of each object begins with.
    pub prefix: String,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .finish()
    }
}

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no such object")]
    NotFound,
    /// It is away, refuses us, or is full; later may be better.
    #[error("the object store is unavailable: {0}")]
    Unavailable(#[source] object_store::Error),
    /// The spooled file cannot be read.
    #[error("the spooled file cannot be read: {0}")]
    Disk(#[from] io::Error),
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            other => Self::Unavailable(other),
        }
    }
}

/// An object of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Original(MediaKey),
    Thumbnail(MediaKey),
    /// What a client has put there itself, before anybody has looked at it.
    Incoming(MediaKey),
}

impl Object {
    /// All that there may be of a file.
    fn all(key: MediaKey) -> [Self; 3] {
        [Self::Original(key), Self::Thumbnail(key), Self::Incoming(key)]
    }
}

/// The store.
#[derive(Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: Option<LocalFileSystem>,
    /// Makes URLs that clients may use directly.
    signer: Option<AmazonS3>,
    prefix: String,
    puts: Semaphore,
}

impl Objects {
    /// Opens it, without asking whether it answers: messages do not depend on it.
    ///
    /// # Errors
    /// A sentence when the settings make no sense, or the folder cannot be made.
    pub fn open(location: &Location) -> Result<Self, String> {
        let puts = Semaphore::new(PUTS);
        match location {
            Location::Folder(path) => {
                std::fs::create_dir_all(path).map_err(|cause| {
                    format!("The folder of the media, {}, cannot be made: {cause}.", path.display())
                })?;
                let folder =
                    LocalFileSystem::new_with_prefix(path).map_err(|cause| cause.to_string())?;
                let store = Arc::new(folder.clone());
                Ok(Self { store, folder: Some(folder), signer: None, prefix: String::new(), puts })
            }
            Location::S3(s3) => {
                let store = Arc::new(s3_client(s3, s3.endpoint.as_deref())?);
                let public = s3.public_endpoint.as_deref().or(s3.endpoint.as_deref());
                let signer = Some(s3_client(s3, public)?);
                Ok(Self { store, folder: None, signer, prefix: s3.prefix.clone(), puts })
            }
        }
    }

    /// The name of an object: two digits of the key first, so that no folder gets too full.
    fn path(&self, object: Object) -> Path {
        let (Object::Original(key) | Object::Thumbnail(key) | Object::Incoming(key)) = object;
        let kind = listing::folder(object);
        let shard = key.as_bytes()[15];
        Path::from(format!("{}/{kind}/{shard:02x}/{key}", self.prefix))
    }

    /// Stores a spooled file, all or nothing.
    ///
    /// # Errors
    /// [`ObjectError::Unavailable`]; nothing is left over then, as far as the store can still be told.
    pub async fn put(
        &self,
        object: Object,
        file: &Spooled,
        mime_type: &str,
    ) -> Result<(), ObjectError> {
        let _turn = self.puts.acquire().await;
        let path = self.path(object);
        let attributes = self.attributes(mime_type);
        let part = if self.folder.is_some() { FOLDER_PART } else { PART };
        if file.size() <= part as u64 {
            let all = PutPayload::from(file.read(0, part).await?);
            let options = PutOptions { attributes, ..PutOptions::default() };
            self.store.put_opts(&path, all, options).await?;
            return Ok(());
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let mut upload = self.store.put_multipart_opts(&path, options).await?;
        let stored = put_parts(upload.as_mut(), file, part).await;
        if stored.is_err()
            && let Err(cause) = upload.abort().await
        {
            // The store's own rule for uploads that were never completed takes care of the rest.
            tracing::debug!(%cause, "an upload into the store cannot be called off");
        }
        stored
    }

    /// What a folder cannot remember is not asked of it.
    fn attributes(&self, mime_type: &str) -> Attributes {
        let mut attributes = Attributes::new();
        if self.folder.is_none() {
            attributes.insert(Attribute::ContentType, mime_type.to_owned().into());
        }
        attributes
    }

    /// Bytes of an object. The first are read before this returns, so that a store that is away is known by then.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], [`ObjectError::Unavailable`].
    pub async fn get(
        self: &Arc<Self>,
        object: Object,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, ObjectError>> + Send + use<>, ObjectError> {
        let first = self.window(object, &range).await?;
        let rest = range.start + first.len() as u64..range.end;
        let objects = self.clone();
        let rest = stream::try_unfold(rest, move |left| {
            let objects = objects.clone();
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let bytes = objects.window(object, &left).await?;
                let after = left.start + bytes.len() as u64..left.end;
                Ok(Some((bytes, after)))
            }
        });
        Ok(stream::once(async { Ok(first) }).chain(rest))
    }

    async fn window(&self, object: Object, range: &Range<u64>) -> Result<Bytes, ObjectError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let window = range.start..range.end.min(range.start + WINDOW);
        let bytes = self.store.get_range(&self.path(object), window).await?;
        // A store that gives nothing would be asked for ever.
        if bytes.is_empty() { Err(ObjectError::NotFound) } else { Ok(bytes) }
    }

    /// How many bytes an object has.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], [`ObjectError::Unavailable`].
    pub async fn size(&self, object: Object) -> Result<u64, ObjectError> {
        Ok(self.store.head(&self.path(object)).await?.size)
    }

    /// Deletes all there is of a file; what is not there is no failure.
    ///
    /// # Errors
    /// [`ObjectError::Unavailable`].
    pub async fn delete(&self, key: MediaKey) -> Result<(), ObjectError> {
        for object in Object::all(key) {
            self.delete_one(object).await?;
        }
        Ok(())
    }

    /// Deletes one object; one that is not there is no failure.
    ///
    /// # Errors
    /// [`ObjectError::Unavailable`].
    pub async fn delete_one(&self, object: Object) -> Result<(), ObjectError> {
        let path = self.path(object);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(cause) => return Err(cause.into()),
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut partial = folder.path_to_filesystem(&path)?.into_os_string();
        // What a killed process was writing; see `LocalFileSystem`.
        partial.push("#1");
        match tokio::fs::remove_file(partial).await {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause.into()),
            _ => Ok(()),
        }
    }

    /// A URL to which a client may put a file; `None` where the store has no such URLs. How large it is has to be looked
    /// at afterwards: such a URL cannot say.
    ///
    /// # Errors
    /// [`ObjectError::Unavailable`] when it cannot be made.
    pub async fn upload_url(
        &self,
        key: MediaKey,
        lifetime: Duration,
    ) -> Result<Option<String>, ObjectError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let path = self.path(Object::Incoming(key));
        let url = signer.signed_url(Method::PUT, &path, lifetime).await?;
        Ok(Some(url.into()))
    }
}

async fn put_parts(
    upload: &mut dyn MultipartUpload,
    file: &Spooled,
    size: usize,
) -> Result<(), ObjectError> {
    let mut at = 0;
    while at < file.size() {
        let part = file.read(at, size).await?;
        at += part.len() as u64;
        upload.put_part(part.into()).await?;
    }
    upload.complete().await?;
    Ok(())
}

fn s3_client(s3: &S3, endpoint: Option<&str>) -> Result<AmazonS3, String> {
    let options = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        .with_allow_http(true);
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: REQUEST,
        backoff: BackoffConfig::default(),
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_client_options(options)
        .with_retry(retry);
    // Without keys it is the machine's own role that counts.
    if !s3.access_key.is_empty() {
        builder = builder.with_access_key_id(&s3.access_key).with_secret_access_key(&s3.secret_key);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|cause| format!("The object store cannot be used: {cause}."))
}
