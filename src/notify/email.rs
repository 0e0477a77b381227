//! Tells people by mail, over one SMTP conversation for each message.
//!
//! Each step of the conversation is ours to see, because what a refusal means depends on it: of the login
//! it is a matter of set-up, of one recipient it concerns that one alone, of the text it is our layout.
//! Until the text is on its way nothing was sent and trying again is free; from then on silence means that
//! nobody can tell. Such a mail is sent again with the same Message-ID, by which many servers and readers
//! drop the second copy (<https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1>, 2026-11-22).
//!
//! A server that does not encrypt gets nothing, neither text nor password. What a server says beside its
//! code is not repeated in errors, as it may echo a login.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Quit, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as SmtpError, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::email_message::Writer;
use super::error::{Class, SendError};
use super::{CONNECT_TIMEOUT, Message, Trouble, plain};
use crate::domain::notification::{Encryption, Login, Mail};

/// Of the time for a step, what the verdict on the text may take: servers look into it before they answer.
const VERDICT_STEPS: u32 = 6;
/// For the goodbye, which changes nothing.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// One server, and who is written to through it.
pub struct Email {
    host: String,
    port: u16,
    encryption: Encryption,
    tls: TlsParameters,
    hello: ClientId,
    login: Option<Credentials>,
    writer: Writer,
    /// For one step of the conversation.
    timeout: Duration,
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What is remembered of an incident from one mail to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Message-ID of the first mail; the later ones answer it.
    root: Option<String>,
    /// Digest of the plain words told last.
    told: String,
    /// A delivery that is done with for some recipients and not for others.
    under_way: Option<UnderWay>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct UnderWay {
    delivery: String,
    /// Who has it, or was refused for good.
    done: Vec<String>,
}

impl Thread {
    /// As [`Thread::text`] wrote it; empty when it did not.
    #[must_use]
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// For the store.
    #[must_use]
    pub fn text(&self) -> String {
        json!(self).to_string()
    }

    /// Whether plain words would tell the same again.
    #[must_use]
    pub fn knows(&self, message: &Message<'_>) -> bool {
        self.told == plain::digest(message)
    }
}

/// How far a delivery got; the thread holds also when only a part of it was taken.
#[derive(Debug)]
pub struct Sent {
    pub thread: Thread,
    pub result: Result<(), SendError>,
}

/// What became of the recipients of one conversation.
#[derive(Default)]
struct Recipients {
    taken: Vec<Address>,
    /// Refused for good.
    refused: Vec<Address>,
    /// Not now; the code of the last one.
    later: Option<String>,
}

impl Email {
    /// A sender through `mail`; `timeout` is for one step of the conversation.
    ///
    /// # Errors
    /// [`Class::Setup`] when an address or a root can't be read.
    pub fn new(mail: &Mail, timeout: Duration) -> Result<Self, SendError> {
        let setup = |what: String| SendError::new(Class::Setup, what);
        let address = |text: &String| {
            text.parse()
                .map_err(|_| setup(format!("{text:?} is no address")))
        };
        let mut tls = TlsParameters::builder(mail.host.clone());
        for pem in &mail.roots {
            let root = Certificate::from_pem(pem.as_bytes())
                .map_err(|_| setup("a root certificate can't be read".to_owned()))?;
            tls = tls.add_root_certificate(root);
        }
        let login = match &mail.login {
            None => None,
            Some(Ok(Login::Password { username, password })) => Some(Credentials::new(
                username.expose().to_owned(),
                password.expose().to_owned(),
            )),
            Some(Ok(Login::Token(_))) => {
                return Err(setup("a token is no login for mail".to_owned()));
            }
            Some(Err(why)) => return Err(setup(why.clone())),
        };
        Ok(Self {
            host: mail.host.clone(),
            port: mail.port,
            encryption: mail.encryption,
            tls: tls
                .build()
                .map_err(|_| setup("no TLS client can be made".to_owned()))?,
            hello: ClientId::Domain(mail.hello.clone()),
            login,
            writer: Writer {
                from: address(&mail.from)?,
                to: mail.to.iter().map(address).collect::<Result<_, _>>()?,
                plain: mail.plain,
            },
            timeout,
        })
    }

    /// Whether it writes in the words of support staff.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.writer.plain
    }

    /// The mail as it goes over the wire, without a thread.
    pub fn letter(&self, message: &Message<'_>) -> Result<Vec<u8>, SendError> {
        self.writer.write(message, None)
    }

    /// Tells one thing; `thread` is what is remembered of the incident.
    pub async fn tell(&self, message: &Message<'_>, mut thread: Thread) -> Sent {
        let result = self.try_tell(message, &mut thread).await;
        Sent { thread, result }
    }

    /// Tells many things in one mail; what is to be remembered of each, in their order.
    ///
    /// When only some recipients take it, the next try goes to all of them: it may tell of others by then.
    pub async fn tell_together(&self, messages: &[Message<'_>]) -> Result<Vec<Thread>, SendError> {
        let Some(first) = messages.first() else {
            return Ok(Vec::new());
        };
        let letter = self.writer.write_together(messages)?;
        let mut thread = Thread::default();
        self.hand(&letter, first.delivery, &mut thread).await?;
        let threads = messages.iter().map(|message| Thread {
            root: thread.root.clone(),
            told: plain::digest(message),
            under_way: None,
        });
        Ok(threads.collect())
    }

    /// Tells of another channel; `thread` is what is remembered of that trouble.
    pub async fn trouble(&self, trouble: &Trouble<'_>, mut thread: Thread) -> Sent {
        let result = match self.writer.of_channel(trouble) {
            Ok(letter) => self.hand(&letter, trouble.id(), &mut thread).await,
            Err(error) => Err(error),
        };
        Sent { thread, result }
    }

    async fn try_tell(&self, message: &Message<'_>, thread: &mut Thread) -> Result<(), SendError> {
        let letter = self.writer.write(message, thread.root.as_deref())?;
        self.hand(&letter, message.delivery, thread).await?;
        thread.told = plain::digest(message);
        Ok(())
    }

    /// Hands a letter over to all who do not have it yet.
    async fn hand(
        &self,
        letter: &[u8],
        delivery: Uuid,
        thread: &mut Thread,
    ) -> Result<(), SendError> {
        let mut done = match thread.under_way.take() {
            Some(under_way) if under_way.delivery == delivery.to_string() => under_way.done,
            _ => Vec::new(),
        };
        let to: Vec<Address> = self.writer.to.iter().map(|m| m.email.clone()).collect();
        let open = |address: &Address| !done.contains(&address.to_string());
        let open: Vec<Address> = to.iter().filter(|a| open(a)).cloned().collect();
        let mut recipients = Recipients::default();
        let result = if open.is_empty() {
            Ok(())
        } else {
            self.converse(&open, letter, &mut recipients).await
        };
        let arrived = match &result {
            Ok(()) => true,
            Err(error) => error.class == Class::Ambiguous,
        };
        if arrived && thread.root.is_none() {
            thread.root = Some(self.writer.message_id(delivery));
        }
        if result.is_ok() {
            for address in &recipients.refused {
                tracing::error!(
                    recipient = %address,
                    "the mail server refuses this recipient; the others have the mail"
                );
            }
            let finished = recipients.taken.iter().chain(&recipients.refused);
            done.extend(finished.map(ToString::to_string));
        }
        if !done.is_empty() {
            thread.under_way = Some(UnderWay {
                delivery: delivery.to_string(),
                done,
            });
        }
        result?;
        if let Some(code) = recipients.later {
            // Some have it: the others get it with the next try.
            return Err(SendError::new(
                Class::Transient,
                format!("the mail server does not take it for every recipient yet (SMTP {code})"),
            ));
        }
        thread.under_way = None;
        Ok(())
    }

    async fn converse(
        &self,
        to: &[Address],
        letter: &[u8],
        recipients: &mut Recipients,
    ) -> Result<(), SendError> {
        let mut connection = self.connect().await?;
        let sent = self
            .hand_over(&mut connection, to, letter, recipients)
            .await;
        // Who fell silent is not waited for once more.
        if !matches!(&sent, Err(error) if error.class == Class::Ambiguous) {
            let bye = QUIT_TIMEOUT.min(self.timeout);
            let _ = tokio::time::timeout(bye, connection.command(Quit)).await;
        }
        sent
    }

    /// A conversation that is encrypted as asked, and logged in.
    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let implicit = (self.encryption == Encryption::Implicit).then(|| self.tls.clone());
        let connecting = AsyncSmtpConnection::connect_tokio1(
            (self.host.as_str(), self.port),
            Some(CONNECT_TIMEOUT.min(self.timeout)),
            &self.hello,
            implicit,
            None,
        );
        let mut connection = self.step("greet us", self.timeout, connecting).await?;
        if self.encryption == Encryption::StartTls {
            if !connection.can_starttls() {
                return Err(SendError::new(
                    Class::Setup,
                    "the mail server offers no STARTTLS, so nothing was sent",
                ));
            }
            let encrypting = connection.starttls(self.tls.clone(), &self.hello);
            self.step("encrypt", self.timeout, encrypting).await?;
        }
        if let Some(login) = &self.login {
            let knows = connection
                .server_info()
                .get_auth_mechanism(DEFAULT_MECHANISMS)
                .is_some();
            if !knows {
                return Err(SendError::new(
                    Class::Setup,
                    "the mail server offers no login that we know (PLAIN, LOGIN)",
                ));
            }
            let logging_in = connection.auth(DEFAULT_MECHANISMS, login);
            self.step("take the login", self.timeout, logging_in)
                .await?;
        }
        Ok(connection)
    }

    async fn hand_over(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &[Address],
        letter: &[u8],
        recipients: &mut Recipients,
    ) -> Result<(), SendError> {
        let from = MailFrom::new(Some(self.writer.from.email.clone()), vec![]);
        self.step("take mail from us", self.timeout, connection.command(from))
            .await?;
        let mut refusal = None;
        for address in to {
            let recipient = Rcpt::new(address.clone(), vec![]);
            let asked = tokio::time::timeout(self.timeout, connection.command(recipient)).await;
            match asked {
                Ok(Ok(_)) => recipients.taken.push(address.clone()),
                Ok(Err(error)) if error.is_transient() => recipients.later = code(&error),
                Ok(Err(error)) if error.is_permanent() => {
                    refusal = code(&error);
                    recipients.refused.push(address.clone());
                }
                Ok(Err(error)) => return Err(trouble("take a recipient", &error)),
                Err(_) => return Err(silence("take a recipient")),
            }
        }
        if recipients.taken.is_empty() {
            return Err(match (&recipients.later, refusal) {
                (Some(code), _) => SendError::new(
                    Class::Transient,
                    format!("the mail server takes it for no recipient yet (SMTP {code})"),
                ),
                (None, refusal) => SendError::new(
                    Class::Setup,
                    format!(
                        "the mail server refuses every recipient (SMTP {})",
                        refusal.unwrap_or_default()
                    ),
                ),
            });
        }
        let asked = tokio::time::timeout(self.timeout, connection.command(Data)).await;
        about_the_text(asked, &silence("take the text"), false)?;
        let verdict = self.timeout * VERDICT_STEPS;
        let said = tokio::time::timeout(verdict, connection.message(letter)).await;
        about_the_text(said, &silence("say whether it took the text"), true)
    }

    /// One step before the text: whatever fails, nothing was sent.
    async fn step<T>(
        &self,
        what: &str,
        timeout: Duration,
        step: impl Future<Output = Result<T, SmtpError>>,
    ) -> Result<T, SendError> {
        match tokio::time::timeout(timeout, step).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(trouble(what, &error)),
            Err(_) => Err(silence(what)),
        }
    }
}

type InTime<T> = Result<T, tokio::time::error::Elapsed>;

/// The server's word on the text; once it is on its way (`sent`), silence and a broken line tell nothing.
fn about_the_text(
    said: InTime<Result<Response, SmtpError>>,
    silent: &SendError,
    sent: bool,
) -> Result<(), SendError> {
    let error = match said {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) if sent => return Err(SendError::new(Class::Ambiguous, &*silent.text).blind()),
        Err(_) => return Err(silent.clone()),
    };
    Err(match code(&error) {
        Some(code) if error.is_permanent() => SendError::new(
            Class::Payload,
            format!("the mail server refuses the text (SMTP {code})"),
        ),
        Some(code) => SendError::new(
            Class::Transient,
            format!("the mail server does not take the text now (SMTP {code})"),
        ),
        None if sent => SendError::new(
            Class::Ambiguous,
            "the connection to the mail server broke off after the text",
        )
        .blind(),
        None => trouble("take the text", &error),
    })
}

/// A failure before the text: by code, by TLS, or by the line.
fn trouble(what: &str, error: &SmtpError) -> SendError {
    if let Some(code) = code(error) {
        let class = if error.is_transient() {
            Class::Transient
        } else {
            Class::Setup
        };
        return SendError::new(
            class,
            format!("the mail server did not {what} (SMTP {code})"),
        );
    }
    if let Some(reason) = tls_reason(error) {
        return SendError::new(
            Class::Setup,
            format!("no encrypted connection to the mail server: {reason}"),
        );
    }
    if error.is_response() {
        return SendError::new(
            Class::Transient,
            format!("the mail server did not {what}: its answer is not SMTP, or broke off"),
        );
    }
    SendError::new(Class::Transient, "no connection to the mail server")
}

fn silence(what: &str) -> SendError {
    SendError::new(
        Class::Transient,
        format!("the mail server did not {what} in time"),
    )
}

fn code(error: &SmtpError) -> Option<String> {
    error.status().map(|code| code.to_string())
}

/// Why TLS failed, in rustls' own words, which hold no secret.
fn tls_reason(error: &SmtpError) -> Option<String> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = inner {
            return Some(tls.to_string());
        }
        cause = error.source();
    }
    error.is_tls().then(|| "it can't be set up".to_owned())
}
