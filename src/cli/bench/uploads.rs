//! Messages, first alone and then while files are uploaded: what do uploads cost the others, and the service's memory?
//!
//! The files are images, which the service looks at and makes small, or files that it only stores. The load generator
//! holds each of them once and sends it again and again.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use image::{ImageFormat, Rgb, RgbImage};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::caller::now;
use super::process;
use super::report::{Checks, Figures, Percentiles, Report as LoadReport, table};
use super::run;
use super::target::Target;
use crate::cli::token;

/// How often the service's memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Tokens outlive any run.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);
const BOUNDARY: &str = "a-boundary-of-the-bench";

/// What to run.
#[derive(Debug)]
pub struct Settings {
    /// The load of messages, the same both times.
    pub quiet: run::Settings,
    pub busy: run::Settings,
    /// Uploads at a time, each of a user of its own.
    pub uploads: u32,
    pub file_bytes: usize,
    /// How many of them are images.
    pub images: u32,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub shape: &'static str,
    pub uploads_at_once: u32,
    pub images_at_once: u32,
    pub file_bytes: usize,
    pub image_bytes: usize,
    pub uploaded: u64,
    pub uploaded_bytes: u64,
    pub uploading_seconds: f64,
    /// Resident memory of the service before the uploads, and the most that it was meanwhile.
    pub memory_before_bytes: Option<u64>,
    pub memory_most_bytes: Option<u64>,
    pub acks_without: Percentiles,
    pub acks_with: Percentiles,
    pub deliveries_without: Percentiles,
    pub deliveries_with: Percentiles,
    pub checks: Checks,
}

/// Runs against the target.
pub async fn run(target: &Target, settings: Settings) -> anyhow::Result<Report> {
    let without = run::run(target, settings.quiet).await?;
    let forms = Arc::new(Forms::new(settings.file_bytes));
    let memory = Memory::begin(target);
    let uploading = Uploading::begin(target, &forms, settings.uploads, settings.images)?;
    let with = run::run(target, settings.busy).await;
    let (uploaded, bytes, took) = uploading.end().await?;
    let (before, most) = memory.end().await?;
    let with = with?;
    Ok(Report {
        shape: "uploads",
        uploads_at_once: settings.uploads,
        images_at_once: settings.images,
        file_bytes: forms.file.len(),
        image_bytes: forms.image.len(),
        uploaded,
        uploaded_bytes: bytes,
        uploading_seconds: took.as_secs_f64(),
        memory_before_bytes: before,
        memory_most_bytes: most,
        checks: both(&without, &with),
        acks_without: without.ack_latency,
        acks_with: with.ack_latency,
        deliveries_without: without.delivery_latency,
        deliveries_with: with.delivery_latency,
    })
}

fn both(without: &LoadReport, with: &LoadReport) -> Checks {
    let checks = [&without.checks, &with.checks];
    Checks {
        passed: checks.iter().all(|checks| checks.passed),
        objections: checks.iter().map(|checks| checks.objections).sum(),
        explanations: checks.iter().flat_map(|c| c.explanations.iter().cloned()).collect(),
    }
}

/// What is sent.
struct Forms {
    file: Bytes,
    image: Bytes,
}

impl Forms {
    fn new(file_bytes: usize) -> Self {
        Self {
            file: form("f.pdf", "application/pdf", &document(file_bytes)),
            image: form("p.jpg", "image/jpeg", &photo()),
        }
    }
}

fn form(name: &str, mime_type: &str, bytes: &[u8]) -> Bytes {
    let mut form = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {mime_type}\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(bytes);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    form.into()
}

/// A document that is mostly comments.
fn document(bytes: usize) -> Vec<u8> {
    let mut pdf = b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n".to_vec();
    while pdf.len() < bytes {
        pdf.extend_from_slice(b"% 0123456789012345678901234567890123456789012345678901234567890\n");
    }
    pdf.extend_from_slice(b"trailer << /Root 1 0 R >>\n%%EOF\n");
    pdf
}

/// 12 megapixels with something in each, as a phone takes them.
fn photo() -> Vec<u8> {
    let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 26;
    let colour = |x: u32, y: u32| {
        let n = noise(x, y);
        Rgb([(x / 16 + n) as u8, (y / 12 + n) as u8, ((x + y) / 32 + n) as u8])
    };
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(4000, 3000, colour)
        .write_to(&mut bytes, ImageFormat::Jpeg)
        .expect("writing into memory cannot fail");
    bytes.into_inner()
}

/// Uploads that follow each other until told to end.
struct Uploading {
    ending: Arc<AtomicBool>,
    done: Arc<(AtomicU64, AtomicU64)>,
    tasks: JoinSet<anyhow::Result<()>>,
    began: Instant,
}

impl Uploading {
    fn begin(
        target: &Target,
        forms: &Arc<Forms>,
        at_once: u32,
        images: u32,
    ) -> anyhow::Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let done = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..at_once {
            let token = token::sign(Uuid::new_v4(), Some("Uploader"), TOKEN_TTL, &target.secret)?;
            let form = if number < images { &forms.image } else { &forms.file }.clone();
            let (ending, done) = (ending.clone(), done.clone());
            let authority = target.base.authority.clone();
            tasks.spawn(async move {
                while !ending.load(Ordering::Relaxed) {
                    upload(&authority, &token, form.clone()).await?;
                    done.0.fetch_add(1, Ordering::Relaxed);
                    done.1.fetch_add(form.len() as u64, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Ok(Self { ending, done, tasks, began: now() })
    }

    async fn end(mut self) -> anyhow::Result<(u64, u64, Duration)> {
        self.ending.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        let (count, bytes) = &*self.done;
        Ok((count.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed), self.began.elapsed()))
    }
}

async fn upload(authority: &str, token: &str, form: Bytes) -> anyhow::Result<()> {
    let stream = TcpStream::connect(authority).await.context("cannot connect")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post("/messaging/media/upload")
        .header(header::HOST, authority)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Full::new(form))?;
    let answering = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != 201 {
            bail!("an upload is answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    };
    // The connection does the work while the answer is awaited.
    let mut connection = std::pin::pin!(connection);
    let mut answering = std::pin::pin!(answering);
    tokio::select! {
        answered = answering.as_mut() => answered,
        ended = connection.as_mut() => {
            ended?;
            answering.await
        }
    }
}

/// Looks at the service's memory until told to end.
struct Memory {
    ending: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(Option<u64>, Option<u64>)>,
}

impl Memory {
    fn begin(target: &Target) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let service: Vec<_> = target.processes.first().cloned().into_iter().collect();
        let resident =
            move || process::usage(&service).first().copied().flatten().map(|u| u.memory);
        let before = resident();
        let told = ending.clone();
        let task = tokio::spawn(async move {
            let mut most = before;
            let mut ticks = tokio::time::interval(LOOK);
            while !told.load(Ordering::Relaxed) {
                ticks.tick().await;
                most = most.max(resident());
            }
            (before, most)
        });
        Self { ending, task }
    }

    async fn end(self) -> anyhow::Result<(Option<u64>, Option<u64>)> {
        self.ending.store(true, Ordering::Relaxed);
        Ok(self.task.await?)
    }
}

impl Figures for Report {
    fn passed(&self) -> bool {
        self.checks.passed
    }

    fn table(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut text = format!(
            "uploads: {} at once, {} of them images of {:.1} MiB, the others {:.1} MiB; \
             {} uploaded in {:.1} s, {:.1} MiB/s\n",
            self.uploads_at_once,
            self.images_at_once,
            mib(self.image_bytes as u64),
            mib(self.file_bytes as u64),
            self.uploaded,
            self.uploading_seconds,
            mib(self.uploaded_bytes) / self.uploading_seconds
        );
        if let Some((before, most)) = self.memory_before_bytes.zip(self.memory_most_bytes) {
            let growth = most.saturating_sub(before);
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(
                text,
                "resident memory of the service: {:.1} MiB before, {:.1} MiB at most, {:.1} MiB growth",
                mib(before),
                mib(most),
                mib(growth)
            );
        }
        let mut times = table(&["ms", "samples", "p50", "p90", "p99", "max"]);
        for (name, p) in [
            ("acknowledged, alone", &self.acks_without),
            ("acknowledged, with uploads", &self.acks_with),
            ("delivered, alone", &self.deliveries_without),
            ("delivered, with uploads", &self.deliveries_with),
        ] {
            let millis = [p.p50_micros, p.p90_micros, p.p99_micros, p.max_micros]
                .map(|micros| format!("{:.2}", micros as f64 / 1000.0));
            times.add_row([name.to_owned(), p.count.to_string()].into_iter().chain(millis));
        }
        let _ = writeln!(text, "\n{times}\n\n{}", self.checks.words());
        text
    }
}
