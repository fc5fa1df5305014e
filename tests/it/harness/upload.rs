//! Uploads, as forms of a browser or an app, and files to upload.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use reqwest::{Method, Response};
use serde_json::Value;

use super::rest::Answer;
use super::{Node, User};

/// What stands between the parts of a form.
pub const BOUNDARY: &str = "----a-boundary-of-the-tests";

/// A form, part by part.
#[derive(Default)]
pub struct Form(Vec<u8>);

impl Form {
    /// A form with one file.
    pub fn file(name: &str, mime_type: &str, bytes: &[u8]) -> Self {
        Self::default().with_file(name, mime_type, bytes)
    }

    pub fn with_file(mut self, name: &str, mime_type: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {mime_type}\r\n\r\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        self.0.extend_from_slice(part.as_bytes());
        self
    }

    /// The body.
    pub fn body(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}

/// The content type of a form's request.
pub fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

impl Node {
    /// Uploads a form as `user`.
    pub async fn upload(&self, user: &User, form: Form) -> Answer {
        let request = reqwest::Client::new()
            .post(format!("{}/messaging/media/upload", self.url))
            .bearer_auth(&user.token)
            .header("content-type", form_type())
            .body(form.body());
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::from(text));
        Answer { status, headers, body }
    }

    /// Asks for a file by a link of this service, with or without a token.
    pub async fn fetch(&self, user: Option<&User>, link: &str) -> Response {
        self.fetch_with(Method::GET, user, link, &[]).await
    }

    /// The same with further headers.
    pub async fn fetch_with(
        &self,
        method: Method,
        user: Option<&User>,
        link: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request = reqwest::Client::new().request(method, format!("{}{link}", self.url));
        if let Some(user) = user {
            request = request.bearer_auth(&user.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }
}

/// A picture with something in it.
pub fn picture(width: u32, height: u32) -> DynamicImage {
    let colour = |x: u32, y: u32| Rgb([(x * 7) as u8, (y * 5) as u8, (x ^ y) as u8]);
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, colour))
}

/// The same as a file.
pub fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture(width, height).write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}

/// A PDF, to the eye of a program; at least so long.
pub fn pdf(bytes: usize) -> Vec<u8> {
    let mut pdf = b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n".to_vec();
    // Comments, which a reader skips.
    while pdf.len() < bytes {
        pdf.extend_from_slice(b"% 0123456789012345678901234567890123456789012345678901234567890\n");
    }
    pdf.extend_from_slice(b"trailer << /Root 1 0 R >>\n%%EOF\n");
    pdf
}
