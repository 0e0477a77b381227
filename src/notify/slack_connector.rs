//! slack-morphism over reqwest.
//!
//! The crate's own connector has no request timeout, reads only whole seconds of `Retry-After`, takes
//! `{"ok": false}` without an error for success, and brings a second TLS stack. This one keeps the
//! typed requests and does the sending itself; how an answer failed travels in `SlackClientError`.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use slack_morphism::errors::{
    SlackClientApiError, SlackClientError, SlackClientHttpError, SlackClientHttpProtocolError,
    SlackClientProtocolError, SlackClientSystemError, SlackRateLimitError,
};
use slack_morphism::multipart_form::FileMultipartData;
use slack_morphism::{
    ClientResult, SlackClientApiCallContext, SlackClientHttpConnector, SlackClientId,
    SlackClientSecret,
};
use url::Url;

use super::error::SendError;
use super::http::{self, Failure};
use super::leave;

type Answer<'a, T> = Pin<Box<dyn Future<Output = ClientResult<T>> + Send + 'a>>;

/// Stands as code where Slack said `ok: false` and nothing more.
pub(super) const NO_ERROR_CODE: &str = "no_error_code";
/// Stands as code for a 503 that says when to come back.
pub(super) const HTTP_503: &str = "http_503";

#[derive(Debug, Clone)]
pub(super) struct Connector {
    client: reqwest::Client,
    /// Without a trailing slash.
    api: String,
}

impl Connector {
    pub(super) fn new(api: &str, timeout: Duration) -> Result<Self, SendError> {
        Ok(Self {
            client: http::client(timeout, &[])?,
            api: api.trim_end_matches('/').to_owned(),
        })
    }

    async fn send<T: DeserializeOwned>(
        request: reqwest::RequestBuilder,
        context: SlackClientApiCallContext<'_>,
    ) -> ClientResult<T> {
        let request = match context.token {
            Some(token) => request.bearer_auth(&token.token_value.0),
            None => request,
        };
        let answer = leave::send(request).await;
        let answer = answer.map_err(|e| failed(Failure::from(&e)))?;
        let status = answer.status();
        let retry_after = http::retry_after(answer.headers());
        if status.as_u16() == 429 || (status.as_u16() == 503 && retry_after.is_some()) {
            let mut error = SlackRateLimitError::new().opt_retry_after(retry_after);
            if status.as_u16() == 503 {
                error = error.with_code(HTTP_503.to_owned());
            }
            return Err(SlackClientError::RateLimitError(error));
        }
        if status.as_u16() != 200 {
            return Err(SlackClientError::HttpError(SlackClientHttpError::new(
                status,
            )));
        }
        let body = http::read_body(answer).await.map_err(|e| transport(&e))?;
        read(&body)
    }
}

#[derive(Deserialize)]
struct Envelope {
    ok: bool,
    error: Option<String>,
    errors: Option<Vec<serde_json::Value>>,
}

/// Reads an answer; what it says besides is left out of errors, as it may echo anything.
fn read<T: DeserializeOwned>(body: &[u8]) -> ClientResult<T> {
    let unreadable = |error| SlackClientError::ProtocolError(SlackClientProtocolError::new(error));
    let envelope: Envelope = serde_json::from_slice(body).map_err(unreadable)?;
    if envelope.ok {
        return serde_json::from_slice(body).map_err(unreadable);
    }
    let code = envelope.error.unwrap_or_else(|| NO_ERROR_CODE.to_owned());
    let errors = envelope
        .errors
        .map(|errors| errors.iter().map(ToString::to_string).collect());
    Err(SlackClientError::ApiError(
        SlackClientApiError::new(code).opt_errors(errors),
    ))
}

fn transport(error: &reqwest::Error) -> SlackClientError {
    failed(Failure::from(error))
}

fn failed(failure: Failure) -> SlackClientError {
    SlackClientError::HttpProtocolError(
        SlackClientHttpProtocolError::new().with_cause(Box::new(failure)),
    )
}

/// For the calls of the trait that we never make.
fn unused<'a, T>() -> Answer<'a, T>
where
    T: Send + 'a,
{
    Box::pin(std::future::ready(Err(SlackClientError::SystemError(
        SlackClientSystemError::new().with_message("this kind of request is not made".to_owned()),
    ))))
}

impl SlackClientHttpConnector for Connector {
    fn create_method_uri_path(&self, method: &str) -> ClientResult<Url> {
        Ok(format!("{}/{method}", self.api).parse()?)
    }

    fn http_get_uri<'a, RS>(
        &'a self,
        full_uri: Url,
        context: SlackClientApiCallContext<'a>,
    ) -> Answer<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        Box::pin(Self::send(self.client.get(full_uri), context))
    }

    fn http_post_uri<'a, RQ, RS>(
        &'a self,
        full_uri: Url,
        request_body: &'a RQ,
        context: SlackClientApiCallContext<'a>,
    ) -> Answer<'a, RS>
    where
        RQ: serde::Serialize + Send + Sync,
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        // Slack warns about a missing charset in the answer of every call.
        let body = match serde_json::to_vec(request_body) {
            Ok(body) => body,
            Err(error) => {
                let error = SlackClientError::ProtocolError(SlackClientProtocolError::new(error));
                return Box::pin(std::future::ready(Err(error)));
            }
        };
        let request = self
            .client
            .post(full_uri)
            .header(
                reqwest::header::CONTENT_TYPE,
                "application/json; charset=utf-8",
            )
            .body(body);
        Box::pin(Self::send(request, context))
    }

    fn http_get_with_client_secret<'a, RS>(
        &'a self,
        _full_uri: Url,
        _client_id: &'a SlackClientId,
        _client_secret: &'a SlackClientSecret,
    ) -> Answer<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        unused()
    }

    fn http_post_uri_multipart_form<'a, 'p, RS, PT, TS>(
        &'a self,
        _full_uri: Url,
        _file: Option<FileMultipartData<'p>>,
        _params: &'p PT,
        _context: SlackClientApiCallContext<'a>,
    ) -> Answer<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
        PT: IntoIterator<Item = (&'p str, Option<TS>)> + Clone,
        TS: AsRef<str> + 'p + Send,
    {
        unused()
    }

    fn http_post_uri_binary<'a, 'p, RS>(
        &'a self,
        _full_uri: Url,
        _content_type: String,
        _data: &'a [u8],
        _context: SlackClientApiCallContext<'a>,
    ) -> Answer<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        unused()
    }
}
