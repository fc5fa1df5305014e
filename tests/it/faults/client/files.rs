//! Files: uploaded to an edge, then named by a message.

use serde_json::json;

use super::Client;
use super::ops::{Op, Pending};
use super::rest::{Answer, Called, MAX_CALLS};
use crate::faults::record::{Upload, content_of};
use crate::harness::upload::{Form, form_type};

impl Client {
    /// Uploads a file for a message of its own.
    pub(super) fn send_file(&mut self) {
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        let Some(op @ Op::Send { .. }) = self.new_send() else { return };
        let Op::Send { conversation, name, .. } = &op else { return };
        let form = Form::file("notes.txt", "text/plain", content_of(name).as_bytes())
            .with("conversationId", &conversation.to_string());
        let url = format!("{}/messaging/media/upload", self.any_edge());
        let (http, token) = (self.http.clone(), self.user.token.clone());
        self.calls.spawn(async move {
            let answer = http.upload(&url, &token, form_type(), form.body()).await;
            Called::Uploaded(op, answer)
        });
    }

    /// Without an answer, nobody knows whether the file is there, and no message names it.
    pub(super) fn uploaded(&mut self, op: Op, answer: Option<Answer>) {
        let Op::Send { conversation, content, name, ttl, .. } = op else { return };
        match answer {
            Some((201, file)) => {
                let url = file["url"].as_str().unwrap_or_default().to_owned();
                self.record.uploads.push(Upload { name: name.clone(), conversation, url });
                let metadata = json!({"fileUrl": file["url"], "fileName": "notes.txt",
                    "fileSize": file["size"], "mimeType": file["mimeType"]});
                let file = Some(metadata);
                self.pending.push_back(Pending::new(Op::Send {
                    conversation,
                    name,
                    content,
                    ttl,
                    file,
                }));
            }
            // Not in the conversation any more, or the node has no Postgres.
            None | Some((403 | 503, _)) => {}
            Some((status, body)) => {
                self.record.complaints.push(format!("an upload: {status}, {body}"));
            }
        }
    }
}
