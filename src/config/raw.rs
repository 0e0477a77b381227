//! The mirror of `probes.yaml`: every key, what it is for, and what may stand there.
//!
//! Nothing here is checked against anything else; that is `check`. The sentences are what an editor
//! shows beside a key, so they are written for the one who edits the file.

#![allow(
    clippy::doc_markdown,
    reason = "editors show these sentences as they stand"
)]

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::collections::{Form, List, Many, Named, Pairs};
use super::desk::{At, Desk, Place};
use super::leaf::{
    Address, Flag, HeaderText, MaybeText, Name, PartnerName, Pattern, SocketText, Status,
    UserAgent, Word,
};
use super::measure::{Share, Size, Span, Whole};
use super::read::{Entry, Read, field, keys, mirror};
use super::special::{
    BuiltIn, Field, Follow, Log, Method, Never, Off, PathText, ProxyUrl, Readers, Source,
};
use super::week::{DayTimes, Week};
use super::yaml::{Node, Value};
use crate::domain::cell::{Group, HeaderCase, HttpOffer, IpFamily, TlsVersion};
use crate::domain::mute::Effect;
use crate::domain::notification::Encryption;
use crate::domain::observation::HttpVersion;
use crate::domain::probe::{Cookies, Resolver};
use crate::domain::verdict::{Factor, Kind, Maker, Rule, Severity, Tell};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Time between two runs of a cell.
pub(super) type Interval = Span<SECOND, { 7 * DAY }>;
/// Time allowed for one run.
pub(super) type Patience = Span<100, { 5 * MINUTE }>;

mirror! {
    /// What edgewatch probes, from where, as whom, and whom it tells.
    File {
        /// Version of this format.
        required "version" version: Whole<1, 1>,
        /// The partner's name for people ("GMC"); of several partners, each is called by its probes' `partner`.
        required "service" service: String,
        /// Time zone in which cron runs and times are told ("Europe/London"); UTC when left out.
        "timezone" timezone: String,
        /// Named ways out to the internet. When left out: one, "default", by the system's routes.
        "egresses" egresses: Named<Form<Address, Egress>>,
        /// Named ways for a request to present itself; a plain text is the user agent.
        required "clients" clients: Named<Form<UserAgent, Client>>,
        /// Named sets of secrets, each from the environment or a file.
        "credentials" credentials: Named<Named<Field>>,
        /// What is probed.
        "probes" probes: Named<Probe>,
        /// Probes by whom they ask: each partner with its host, what its probes share, and its probes.
        "partners" partners: Named<Partner>,
        /// What probes share: all of them, those with a tag, those of a partner. The nearest wins: what a probe says itself, its
        /// partner's block, its tags in their order, its partner, all. Headers, expect, origin, words, contact and forbid are put
        /// together key by key; anything else is taken whole.
        "defaults" defaults: Defaults,
        /// Names for several egresses, clients, credentials or probes, to write where these are listed.
        "groups" groups: Named<Many<Name>>,
        /// Further files that hold probes, partners, clients, receivers and the like ("conf.d/*.yaml"), from the directory of this one.
        "include" include: Many<String>,
        /// Probes that should always pass, and so tell "they block us" from "we are offline".
        "controls" controls: Controls,
        /// Whom to ring, and where to read on; stands in messages about every probe that has none of its own.
        "contact" contact: Contact,
        /// Tags whose probes are told "quick" or "sure"; the probe's own "tell" goes first.
        "tell" tell: Named<Word<Tell>>,
        /// How hard partners may be asked.
        "politeness" politeness: Politeness,
        /// When people are reminded, and when a return is the same incident.
        "incidents" incidents: Incidents,
        /// Planned work, during which nobody is told, or is told that it goes on.
        "maintenance" maintenance: List<Maintenance>,
        /// Block pages that edgewatch does not know by itself; the first that matches wins.
        "signatures" signatures: List<Signature>,
        /// Requests that no probe may make, such as write operations.
        "forbid" forbid: Forbid,
        /// Who is told, and when.
        "notify" notify: Notify,
        /// Where history and incidents are kept.
        "store" store: Store,
        /// PEM files with further roots that probes, webhook, email and alertmanager trust, besides the system's.
        "trust" trust: Many<String>,
        /// Name servers to ask ("192.0.2.53" or "192.0.2.53:5353") instead of those of this host.
        "name_servers" name_servers: Many<String>,
        /// Runs in flight at once over all hosts; 256 when left out.
        "runs_in_flight" runs_in_flight: Whole<1, 10_000>,
        /// Where /metrics, /healthz and /readyz are served ("127.0.0.1:9464"); nowhere when left out.
        "listen" listen: Form<SocketText, Listen>,
        /// Pages for people, read only: a dashboard and a status page, at http://127.0.0.1:9465/ when left out; or "none".
        "web" web: Form<Word<Off>, Web>,
        /// A dead-man's switch that is told that edgewatch is alive.
        "heartbeat" heartbeat: Heartbeat,
        /// Whether an edit of this file, or of a file that it names, is taken by itself once it has stood for a second; true when
        /// left out. With false it waits for SIGHUP (`systemctl reload edgewatch`).
        "watch" watch: Flag,
        /// The server where agents at other sites meet this process, which is then `edgewatch hub` (docs/sites.md).
        "nats" nats: Nats,
    }

    /// A way out to the internet; `{}` leaves the choice to the system's routes.
    Egress {
        /// Name of the site whose agent sends from it ("aws-london"); the other keys then speak of the agent's host.
        "site" site: Name,
        /// Local source address; a run fails when this host does not have it.
        "address" address: Address,
        /// Network interface to bind to ("ens6").
        "interface" interface: String,
        /// Forward proxy: "http://host:port", "socks5://host:port", or "socks5h://host:port" where the proxy resolves names.
        "proxy" proxy: ProxyUrl,
        /// User name for the proxy.
        "username" username: String,
        /// Password for the proxy.
        "password" password: Source,
        /// The address that the partner sees and has allow-listed; for people, never used to connect.
        "public" public: Address,
        /// Where it leaves our network ("london"); egresses of one region are often refused together.
        "region" region: Name,
        /// Which IP versions of the target may be used; any when left out.
        "family" family: Word<IpFamily>,
        /// What it was called in the file before, so that its open incidents go on; not needed where only the name changed.
        "was" was: Name,
    }

    /// The server where hub and agents meet: nats-server 2.12 or later, with JetStream.
    Nats {
        /// "tls://host:4222"; "nats://127.0.0.1:4222" to try it out on this host.
        required "url" url: String,
        /// Folder with the certificate and key of the hub, as "edgewatch hub init" makes it.
        "identity" identity: PathText,
    }

    /// How requests present themselves.
    Client {
        /// Sent as it stands; "" sends no User-Agent at all. Needed unless a program is named, which has its own.
        "user_agent" user_agent: UserAgent,
        /// A program that makes the requests in place of edgewatch, with its own TLS: curl, or a program and its arguments
        /// as a list, which is told what to ask on standard input and answers on standard output (docs/programs.md).
        "command" command: Form<Word<BuiltIn>, List<String>>,
        /// How the program is kept between requests; one process a request when left out.
        "worker" worker: Worker,
        /// HTTP version to offer; 1.1 when left out.
        "http" http: Word<HttpOffer>,
        /// TLS versions to offer.
        "tls" tls: Tls,
        /// Headers in this order, before those of the probe. "Host: ~", "User-Agent: ~" and "Content-Length: ~" say where
        /// those stand, which would come first, second and last; "Accept: ~" leaves it out. Connection may be keep-alive,
        /// close, TE or both.
        "headers" headers: Pairs<MaybeText>,
        /// How HTTP/1.1 header names are written on the wire: as_written here, in title case, or lower; as_written when left out.
        "header_case" header_case: Word<HeaderCase>,
        /// The client with a `command` whose requests this one makes over edgewatch's own TLS: two that differ in the TLS
        /// alone tell a refused fingerprint from a refused user agent. Those of equal user agents are found by themselves.
        "stands_in_for" stands_in_for: Name,
        /// PEM files with the roots that it trusts, in place of this host's: the partner's chain is judged by them alone, each
        /// path by its earliest end, the root's own among them. `edgewatch client NAME --trust-from FILE --pem OUT` makes one of
        /// a JVM's cacerts, PKCS12 or JKS.
        "trust" trust: Many<String>,
        /// Honest and expected to pass everywhere: tells "they block our client" from "they block us".
        "control" control: Flag,
        /// What it was called in the file before, so that its open incidents go on; not needed where only the name changed.
        "was" was: Name,
    }

    /// TLS versions to offer, both ends inclusive.
    Tls {
        /// Lowest version; 1.2 when left out.
        "min" min: Word<TlsVersion>,
        /// Highest version; 1.3 when left out.
        "max" max: Word<TlsVersion>,
        /// Groups for the exchange of keys, in this order; those of rustls when left out, which fit into one packet. With
        /// x25519mlkem768 first the greeting is as long as that of Go 1.24, OpenSSL 3.5 and browsers.
        "groups" groups: Many<Word<Group>>,
    }

    /// A program that is kept between requests, one a client: it says hello first and ends with its input (docs/programs.md).
    Worker {
        /// Whether it is kept; true when left out.
        "keep" keep: Flag,
        /// It ends when nobody used it for so long; 15m when left out.
        "idle" idle: Span<1_000, { DAY }>,
        /// A new one takes its place after so many requests; 1000 when left out.
        "runs" runs: Whole<1, 1_000_000>,
        /// Variables that it gets beside PATH, LANG, TZ and HOME, as they stand here; secrets come with each request.
        "env" env: Pairs<String>,
    }

    /// A request, what a good answer looks like, a schedule, and the matrix it runs over.
    Probe {
        /// Only for controls that are written as a list; elsewhere the name is the key.
        "name" name: Name,
        /// What to ask; http or https.
        "url" url: String,
        /// What to ask of the partner's host, in a partner's block, in place of `url`; begins with "/".
        "path" path: String,
        /// Whose it is; hosts of one partner are diagnosed together. The registrable domain of the host when left out.
        /// Where the file has several partners, messages call each by this name.
        "partner" partner: PartnerName,
        /// GET when left out.
        "method" method: Word<Method>,
        /// Headers in this order; values may hold {{ credential.<field> }}.
        "headers" headers: Pairs<HeaderText>,
        /// Request body, or the file that holds it; may hold {{ credential.<field> }}.
        "body" body: Form<String, BodyFile>,
        /// Egresses to run from; every egress when left out.
        "from" from: Many<Name>,
        /// Clients to run as; every client when left out.
        "as" as_clients: Many<Name>,
        /// Credentials to run with; "anonymous", which means none, when left out.
        "with" with: Many<Name>,
        /// Each cell runs once in this time, spread evenly.
        "every" every: Interval,
        /// Each cell runs once an occurrence: "minute hour day month weekday", optionally with seconds before them, in the file's time zone.
        "cron" cron: String,
        /// For the whole run, name resolution to last byte; 20s when left out.
        "timeout" timeout: Patience,
        /// What a good answer looks like; a status of 2xx when no status is asked for.
        "expect" expect: Expect,
        /// Proof that the partner's application made the answer.
        "origin" origin: Conditions,
        /// The partner's own codes; the first whose conditions hold wins.
        "meanings" meanings: List<Meaning>,
        /// Plain words for support staff.
        "words" words: PlainWords,
        /// Whom to ring, and where to read on, in place of the file's `contact`.
        "contact" contact: Contact,
        /// How far redirects are followed; same_host when left out.
        "redirects" redirects: Form<Word<Follow>, Redirects>,
        /// Whether cookies that a redirect sets go along on the hops after it: run, until the run is over, or none; run when
        /// left out.
        "cookies" cookies: Word<Cookies>,
        /// Body kept for classification; 256KiB when left out.
        "body_limit" body_limit: Size<{ KIB }, { 16 * MIB }>,
        /// Who resolves names: edgewatch itself, or the system; own when left out.
        "resolver" resolver: Word<Resolver>,
        /// Connect to this address whatever the name resolves to; SNI and Host stay those of the URL.
        "connect_to" connect_to: Address,
        /// Words to route notifications by.
        "tags" tags: Many<Name>,
        /// How much it matters when it fails, for routes: critical, warning or info; warning when left out.
        "severity" severity: Word<Severity>,
        /// When the first word of a refusal is told: quick, at the second one that is signed, though it may be over soon;
        /// or sure, once it is no burst. What the file's "tell" says for the first of its tags there, else sure, when left out.
        "tell" tell: Word<Tell>,
        /// Should always pass, like those under `controls`.
        "control" control: Flag,
        /// A door of our own (a webhook endpoint), asked as those ask who call us: a refusal there is ours to mend, and
        /// `partner` is who can't reach us then.
        "ours" ours: Flag,
        /// What it was called in the file before, so that its open incidents go on; not needed where only the name changed.
        "was" was: Name,
        /// Further requests that this probe may not make.
        "forbid" forbid: Forbid,
    }

    /// What probes share.
    Defaults {
        /// All probes; controls stand for themselves.
        "probes" probes: Shared,
        /// Those with a tag.
        "tags" tags: Named<Shared>,
        /// Those of a partner, as `partner` calls it, or the key of its block.
        "partners" partners: Pairs<Shared>,
    }

    /// A request body from a file.
    BodyFile {
        /// Path, from the directory of this file.
        required "file" file: PathText,
    }

    /// How far redirects are followed, with a bound.
    Redirects {
        /// Whereto.
        required "follow" follow: Word<Follow>,
        /// At most so many; 5 when left out.
        "limit" limit: Whole<1, 20>,
    }

    /// The partner's own code.
    Meaning {
        /// All of these must hold.
        required "when" when: Conditions,
        /// What the answer then means.
        required "verdict" verdict: Word<Kind>,
        /// Factors that may be behind it, as the partner documents them.
        "factors" factors: Many<Word<Factor>>,
        /// The partner's words for it.
        "note" note: String,
    }

    /// Plain words for support staff: no codes, no guesses.
    PlainWords {
        /// What does not work, as its users call it.
        "what" what: String,
        /// Who is affected.
        "affects" affects: String,
        /// What works meanwhile.
        "workaround" workaround: String,
        /// What users may be told.
        "tell" tell: String,
    }

    /// Whom to ring, and where to read on, when something fails.
    Contact {
        /// A name and a number ("Ops desk, 020 7946 0000"); in cards, mails and Slack, and in the letter to the partner.
        "ring" ring: String,
        /// What engineers do about it, a link; not shown to support staff or the partner.
        "runbook" runbook: String,
        /// Where everybody reads on, a link; not shown to the partner.
        "link" link: String,
    }

    /// How hard partners may be asked.
    Politeness {
        /// Limits for each host, over all cells.
        "per_host" per_host: PerHost,
        /// Limits for each credential, over everything that uses it.
        "per_credential" per_credential: PerCredential,
        /// Requests beyond the schedule for one incident; 12 when left out.
        "extra_per_incident" extra_per_incident: Whole<0, 100>,
    }

    /// Limits for each host, over all cells, extra runs included.
    PerHost {
        /// 60 when left out.
        "requests_per_minute" requests_per_minute: Whole<1, 6000>,
        /// Between the starts of two runs; 500ms when left out.
        "gap" gap: Span<0, { MINUTE }>,
    }

    /// Limits for each credential, over everything that uses it from this host.
    PerCredential {
        /// Within any 24 h, extra runs, `once`, `try`, `bisect` and `gate --now` included; runs beyond it are not made. No limit when
        /// left out. A refusal that names its end is believed with or without it.
        "requests_per_day" requests_per_day: Whole<1, 100_000>,
    }

    /// When people are reminded, and when a return is the same incident.
    Incidents {
        /// Times since the opening, the last one repeats; 1h, 4h and 24h when left out, [] for never.
        "remind" remind: Many<Span<{ MINUTE }, { 30 * DAY }>>,
        /// A return within this time after the resolution keeps the number; 15m when left out.
        "reopen_within" reopen_within: Span<0, { 7 * DAY }>,
    }

    /// Planned work.
    Maintenance {
        /// As people call it; stands in messages.
        required "name" name: String,
        /// When it begins, again and again: "minute hour day month weekday", optionally with seconds before them, in the file's time zone.
        "cron" cron: String,
        /// When it begins, once: "2026-12-05 22:00" in the file's time zone; in place of `cron`.
        "at" once: String,
        /// When it ends, in place of `for` beside `at`: "2026-12-06 06:00".
        "until" until: String,
        /// How long it lasts, elapsed time.
        "for" lasting: Span<{ MINUTE }, { 14 * DAY }>,
        /// Probes that it concerns; every probe, controls too, when left out.
        "probes" probes: Many<Name>,
        /// mute: nobody is told while it lasts; annotate: messages say that it goes on.
        required "effect" effect: Word<Effect>,
    }

    /// A block page that edgewatch does not know by itself.
    Signature {
        /// Shown as evidence.
        required "name" name: Name,
        /// All of these must hold.
        required "when" when: Conditions,
        /// What the answer then means.
        required "verdict" verdict: Word<Kind>,
        /// Who made the answer; by the verdict when left out.
        "maker" maker: Word<Maker>,
        /// Who made the product ("f5"); "unknown" when left out.
        "vendor" vendor: Name,
        /// What kind of rule refused; unknown when left out.
        "rule" rule: Word<Rule>,
        /// Regular expression over the body whose first group is the reference id.
        "reference_id" reference_id: Pattern,
    }

    /// Requests that no probe may make. One match is enough to refuse the probe.
    Forbid {
        /// Texts that no body may hold, any case; "<Name" also forbids the operation with a namespace prefix and in SOAPAction.
        "body" body: Many<Form<String, RegexText>>,
        /// Methods that no probe may use.
        "method" method: Many<Word<Method>>,
        /// Texts that no path (with its query) may hold.
        "path" path: Many<Form<String, RegexText>>,
        /// Headers and the texts that they may not hold.
        "headers" headers: Pairs<Many<Form<String, RegexText>>>,
    }

    /// A regular expression in place of a plain text.
    RegexText {
        /// The expression.
        required "regex" regex: Pattern,
    }

    /// Who is told, and when.
    Notify {
        /// Named channels.
        "receivers" receivers: Named<Receiver>,
        /// Who gets what. When left out, every receiver gets everything, but for those that are only a fallback.
        "routes" routes: List<Route>,
        /// Your own words for messages.
        "templates" templates: Templates,
    }

    /// A channel; exactly one of slack, teams, webhook, email, pagerduty, alertmanager, status_page and log.
    Receiver (hide_text) {
        /// A Slack channel, through a bot.
        "slack" slack: Slack,
        /// A Teams channel, through a Workflows webhook.
        "teams" teams: Teams,
        /// Any HTTP endpoint of your own: a POST of JSON, signed (Standard Webhooks).
        "webhook" webhook: Webhook,
        /// People, by mail.
        "email" email: Email,
        /// People on call, through PagerDuty.
        "pagerduty" pagerduty: PagerDuty,
        /// An Alertmanager, which groups, silences and tells further.
        "alertmanager" alertmanager: Alertmanager,
        /// The page for support staff (`/status`): it shows what its routes tell it, in plain words.
        "status_page" status_page: StatusPage,
        /// The log and, in the foreground, the terminal.
        "log" log: Log,
        /// Who gets it when this one can't.
        "fallback" fallback: Name,
    }

    /// A Slack channel, through a bot.
    Slack (hide_text) {
        /// The bot's token (xoxb-…).
        required "token" token: Source,
        /// The channel's ID (C0123456789), not its name.
        required "channel" channel: String,
        /// Written once when an incident opens ("<!subteam^S0123>").
        "mention" mention: String,
        /// Base of the Web API, for a relay; Slack's own when left out.
        "api" api: String,
        /// The app's token for Socket Mode (xapp-…): with it, messages of open incidents have the buttons Acknowledge, Silence and End silence.
        "app_token" app_token: Source,
        /// Who may press the buttons; everybody in the channel when left out.
        "allow" allow: Allow,
    }

    /// Who may press the buttons of a Slack channel: these people, and those of these groups.
    Allow {
        /// Members by ID (U0123456789), in Slack under Profile, Copy member ID.
        "users" users: Many<String>,
        /// User groups by ID (S0123456789); needs the scope usergroups:read.
        "user_groups" user_groups: Many<String>,
    }

    /// A Teams channel, through a Workflows webhook.
    Teams (hide_text) {
        /// The whole URL is the secret.
        required "webhook" webhook: Source,
        /// A card that says that nothing is wrong, so that the workflow is not switched off for want of use; "0 10 1 * *" (monthly) when left out, or "never".
        "all_is_well" all_is_well: Form<Word<Never>, Cadence>,
    }

    /// When something is told again; one of both.
    Cadence {
        /// This long after the last time.
        "every" every: Span<{ HOUR }, { 60 * DAY }>,
        /// At each occurrence: "minute hour day month weekday", in the file's time zone.
        "cron" cron: String,
    }

    /// Your own words for messages; ours for what is left out.
    Templates {
        /// For Slack: mrkdwn, with the facts of an incident.
        "slack" slack: MessageParts,
        /// For Teams: Markdown, with the facts that support staff may read.
        "teams" teams: MessageParts,
    }

    /// Parts of a message, each a text with {{ facts }} in it.
    MessageParts {
        /// The sentence that stands out.
        "headline" headline: Form<String, TextFile>,
        /// What stands below it.
        "body" body: Form<String, TextFile>,
        /// The small print.
        "footer" footer: Form<String, TextFile>,
    }

    /// A text from a file.
    TextFile {
        /// Path, from the directory of this file.
        required "file" file: PathText,
    }

    /// The page for support staff, as a channel: what its routes tell it is what it shows.
    StatusPage {
        /// Whether it, its feed, its calendar and the badges are shown to whoever reaches the pages, signed in or not; false when left out.
        "public" public: Flag,
    }

    /// Any HTTP endpoint of your own: a POST of JSON, signed (Standard Webhooks).
    Webhook (hide_text) {
        /// The whole URL is the secret.
        required "url" url: Source,
        /// The key that signs every request: base64 of 24 to 64 bytes, perhaps behind "whsec_".
        required "secret" secret: Source,
    }

    /// People, by mail; each incident is one thread.
    Email (hide_text) {
        /// The mail server ("smtp.example.org"), without the port.
        required "host" host: String,
        /// 587 when left out, 465 for tls: implicit, 25 for tls: none.
        "port" port: Whole<1, 65535>,
        /// starttls (required, not only tried) when left out; implicit; none only for a server on this host.
        "tls" tls: Word<Encryption>,
        /// User name, if the server wants a login.
        "username" username: Source,
        /// Password, if the server wants a login.
        "password" password: Source,
        /// The sender: "alerts@example.org" or "edgewatch <alerts@example.org>".
        required "from" from: String,
        /// The recipients, at most 50.
        required "to" to: Many<String>,
        /// For whom it is worded: engineers when left out; plain, for support staff, without codes and guesses.
        "words" words: Word<Readers>,
        /// What this host calls itself in EHLO; the domain of the sender when left out.
        "hello" hello: String,
    }

    /// People on call, through PagerDuty's events API v2.
    PagerDuty (hide_text) {
        /// Integration key of an "Events API V2" integration.
        required "routing_key" routing_key: Source,
        /// Base of the API; https://events.pagerduty.com when left out, https://events.eu.pagerduty.com for accounts in Europe.
        "api" api: String,
    }

    /// An Alertmanager, by its API v2.
    Alertmanager (hide_text) {
        /// Where Alertmanager begins ("http://alertmanager:9093"); every peer of a cluster, all of them are told.
        required "url" url: Many<String>,
        /// User name, where it wants a login.
        "username" username: Source,
        /// Password, where it wants a login.
        "password" password: Source,
        /// Bearer token, in place of user name and password.
        "token" token: Source,
        /// Added to the labels of every alert, for its routes.
        "labels" labels: Pairs<String>,
    }

    /// Which incidents a receiver hears of.
    Route {
        /// The receiver.
        required "to" to: Name,
        /// Only when the incident is still open this long after it opened.
        "after" after: Span<0, { 7 * DAY }>,
        /// No cause is named below this confidence; 0.9 for Teams and plain mail, 0 for others when left out.
        "min_confidence" min_confidence: Share,
        /// Only incidents with one of these probes.
        "probes" probes: Many<Name>,
        /// Only incidents with a probe of one of these tags.
        "tags" tags: Many<Name>,
        /// Also changes that are no incident, such as a CDN that appeared in front of a host; true for Slack and the log and false for others when left out.
        "notices" notices: Flag,
        /// Only incidents with a cell that fails from one of these egresses.
        "egresses" egresses: Many<Name>,
        /// Only incidents with a cell that shows one of these verdicts.
        "verdicts" verdicts: Many<Word<Kind>>,
        /// Only incidents whose most important probe is of one of these severities.
        "severity" severity: Many<Word<Severity>>,
        /// Only at these times, in the file's time zone; what happens outside waits for the next, ends are told at once.
        "during" during: During,
        /// Reminders in place of those of `incidents`: times since the opening, the last one repeats; [] for never.
        "remind" remind: Many<Span<{ MINUTE }, { 30 * DAY }>>,
        /// Who is told as well when nobody acknowledges in time.
        "escalate" escalate: Escalate,
    }

    /// Times of the week.
    During {
        /// "mon-fri", "sat", or a list of these; every day when left out.
        "days" days: Week,
        /// "08:00-18:00"; over midnight when the end is not after the beginning; the whole day when left out.
        "hours" hours: DayTimes,
    }

    /// Who is told as well when nobody acknowledges in time.
    Escalate {
        /// The further receiver.
        required "to" to: Name,
        /// Since this route's receiver was told.
        required "after" after: Span<{ MINUTE }, { 7 * DAY }>,
    }

    /// Where metrics and health are served, over plain HTTP and without a password.
    Listen {
        /// Address and port; port 0 leaves the choice to the system.
        required "address" address: SocketText,
        /// Allow an address that other hosts can reach; whoever does can read names of probes and receivers.
        "exposed" exposed: Flag,
    }

    /// Pages for people, over plain HTTP, so only on this host; a proxy in front lets others in.
    Web {
        /// A loopback address and port; "127.0.0.1:9465" when left out, port 0 leaves the choice to the system.
        "listen" listen: SocketText,
        /// Names by which a proxy asks for the pages ("edgewatch.example.org"), besides localhost.
        "names" names: Many<String>,
        /// Path below which the proxy serves them ("/edgewatch").
        "path" path: String,
        /// Listen where other hosts can reach it; it takes "names", and a "proxy" that asks who comes.
        "exposed" exposed: Flag,
        /// The proxy in front says who comes.
        "proxy" proxy: TrustedProxy,
        /// People who sign in with a password.
        "users" users: Named<WebUser>,
        /// Who may look: names, groups of the proxy ("group:staff"), or "everyone" who reaches the pages; when left out whoever is
        /// known, and everybody where nothing is exposed.
        "viewers" viewers: Many<String>,
        /// Who may act: names and groups; whoever signs in by `edgewatch web sign-in` on the host may anyway.
        "operators" operators: Many<String>,
    }

    /// A proxy that asks people who they are, and says so with each request.
    TrustedProxy (hide_text) {
        /// Addresses from which it asks; of others its headers are not read.
        required "from" from: Many<Address>,
        /// Its header with the user's name; "X-Forwarded-User" when left out.
        "user" user: HeaderText,
        /// Its header with the user's groups, commas between; when left out nobody is in a group.
        "groups" groups: HeaderText,
        /// What it sends in the header X-Edgewatch-Proxy with each request, so that no other program poses as it.
        required "secret" secret: Source,
    }

    /// Somebody who signs in.
    WebUser (hide_text) {
        /// The argon2id hash that `edgewatch web password` prints.
        required "password" password: Source,
    }

    /// A dead-man's switch: it raises the alarm when the requests stay away.
    Heartbeat (hide_heartbeat) {
        /// Asked with GET; the whole URL is the secret.
        required "url" url: Source,
        /// Time between two; 1m when left out.
        "every" every: Span<SECOND, { DAY }>,
    }

    /// How long each kind is kept; all of it within "max_size". Counts by hour, day and month need little and stay: hours of a
    /// probe and days of a cell for 400 days, days of a probe for three years.
    KeepEach {
        /// Single runs; 30d when left out.
        "runs" runs: Span<{ HOUR }, { 3650 * DAY }>,
        /// Bodies of failures, secrets masked, in a quarter of "max_size" at most; as long as the runs when left out, and never longer.
        "bodies" bodies: Span<{ HOUR }, { 3650 * DAY }>,
        /// Incidents that are over, with their timeline; the newest 10,000 whatever their age when left out.
        "incidents" incidents: Span<{ DAY }, { 3650 * DAY }>,
        /// Messages that were delivered or given up; 90d when left out.
        "messages" messages: Span<{ DAY }, { 3650 * DAY }>,
    }

    /// Where history and incidents are kept.
    Store {
        /// The SQLite file; "edgewatch.db" when left out.
        "path" path: PathText,
        /// A group of this host whose members may read the file, for jobs that ask `gate` as another user; nobody
        /// but the daemon's own user when left out.
        "group" group: String,
        /// For how long runs are kept ("30d", which it is when left out), or each kind for itself.
        "keep" keep: Form<Span<{ HOUR }, { 3650 * DAY }>, KeepEach>,
        /// The file is kept below this, oldest observations first; 2GiB when left out.
        "max_size" max_size: Size<{ 16 * MIB }, { 1024 * GIB }>,
    }
}

/// The vocabulary of `expect`, `origin`, `when`: the same keys, and for `expect` one more.
macro_rules! conditions {
    ($( $(#[doc = $doc:literal])* $name:ident { $($more:tt)* } )+) => { mirror! { $(
        $(#[doc = $doc])*
        $name {
            /// Status: 200, "2xx", "200-299", or a list of these.
            "status" status: Many<Status>,
            /// Headers that must be there, whatever their value.
            "header" header: Many<String>,
            /// Headers and the text that each must hold.
            "headers" headers: Pairs<Form<HeaderText, RegexText>>,
            /// Texts that the body must hold.
            "body" body: Many<String>,
            /// Regular expressions that the body must match.
            "regex" regex: Many<Pattern>,
            /// JSONPath that must select something, or compare: "$.a.b == 'x'", "$.n != 3".
            "jsonpath" jsonpath: Many<String>,
            /// XPath that must hold of the body.
            "xpath" xpath: Many<String>,
            /// Prefixes that the XPath uses, and their namespaces.
            "namespaces" namespaces: Pairs<String>,
            /// The run took no longer; a right answer that did is a warning, and no outage.
            "latency" latency: Span<1, { 5 * MINUTE }>,
            /// The answer is no older: no copy that a cache has kept for longer.
            "fresh" fresh: Span<{ SECOND }, { 30 * DAY }>,
            /// The whole body has this SHA-256, in hex.
            "sha256" sha256: String,
            /// The certificate stays valid for so many days; less is a warning, and no outage.
            "certificate_days" certificate_days: Whole<1, 3650>,
            /// The answer came over this HTTP version.
            "http" http: Word<HttpVersion>,
            $($more)*
        }
    )+ } };
}

conditions! {
    /// Conditions on an answer; all must hold.
    Conditions {}
    /// What a good answer looks like; all must hold.
    Expect {
        /// The URL always has one body for one ETag (a package, a release): another body is unexpected, with the edge's machine
        /// and place of each. What is sent is kept since the start of edgewatch.
        "same_body" same_body: Flag,
        /// The verdict that is normal here: a block that is watched rather than regretted.
        "verdict" verdict: Word<Kind>,
    }
}

/// Controls by name, or as a list where the name is optional.
#[derive(Debug, Clone)]
pub(super) enum Controls {
    Named(Named<Form<String, Probe>>),
    List(List<Form<String, Probe>>),
}

impl Read for Controls {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        match &node.value {
            Value::List(_) => List::read(node, place, desk).map(Self::List),
            _ => Named::read(node, place, desk).map(Self::Named),
        }
    }
}

impl JsonSchema for Controls {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Controls".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let named = Named::<Form<String, Probe>>::json_schema(generator);
        let list = List::<Form<String, Probe>>::json_schema(generator);
        json_schema!({ "anyOf": [named, list] })
    }
}

/// Keys of a probe that are its own and nobody shares.
pub(super) const OWN: [&str; 4] = ["name", "url", "path", "was"];

/// What a probe may say and several may share.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(pub(super) Probe);

impl Read for Shared {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let known: Vec<(&'static str, bool)> = sharable().map(|key| (key, false)).collect();
        read_known(node, place, desk, &known, &[]).map(|(probe, _)| Self(probe))
    }
}

/// A partner: where it is, what its probes share, and its probes.
#[derive(Debug, Clone, Default)]
pub(super) struct Partner {
    pub(super) host: Option<At<String>>,
    pub(super) probes: Option<At<Named<Form<String, Probe>>>>,
    pub(super) shared: Probe,
    /// Its probes stand there and could not be read.
    pub(super) lost: bool,
    /// Its host stands there and could not be read.
    pub(super) lost_host: bool,
}

impl Read for Partner {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let mut known = vec![("host", false), ("probes", true)];
        known.extend(sharable().map(|key| (key, false)));
        let (shared, own) = read_known(node, place, desk, &known, &["host", "probes"])?;
        let mut partner = Self {
            shared,
            ..Self::default()
        };
        for (name, key, value) in own {
            if name == "host" {
                partner.host = field(key, value, place, desk);
                partner.lost_host = partner.host.is_none();
            } else {
                partner.probes = field(key, value, place, desk);
                partner.lost = partner.probes.is_none();
            }
        }
        Some(partner)
    }

    fn own_keys() -> &'static [(&'static str, bool)] {
        static KEYS: std::sync::LazyLock<Vec<(&'static str, bool)>> =
            std::sync::LazyLock::new(|| {
                let own = [("host", false), ("probes", true)];
                let shared = sharable().map(|key| (key, false));
                own.into_iter().chain(shared).collect()
            });
        &KEYS
    }
}

fn sharable() -> impl Iterator<Item = &'static str> {
    let all = Probe::KEYS.iter().map(|(key, _)| *key);
    all.filter(|key| !OWN.contains(key))
}

/// Reads a mapping of these keys; those of `apart` are given back, the others are a probe's.
fn read_known<'n, 't>(
    node: &'n Node<'t>,
    place: Place,
    desk: &mut Desk<'t>,
    known: &[(&'static str, bool)],
    apart: &[&str],
) -> Option<(Probe, Vec<Entry<'n, 't>>)> {
    let (entries, _) = keys(node, place, desk, known)?;
    let (own, rest): (Vec<Entry<'n, 't>>, Vec<Entry<'n, 't>>) = entries
        .into_iter()
        .partition(|(name, ..)| apart.contains(name));
    let rest = rest.into_iter().map(|(name, key, value)| {
        let mut key = key.clone();
        key.text = name.into();
        (key, value.clone())
    });
    let rest = Node {
        mark: node.mark,
        end: node.end,
        value: Value::Map(rest.collect()),
    };
    Some((Probe::read(&rest, place, desk)?, own))
}

impl JsonSchema for Shared {
    fn schema_name() -> Cow<'static, str> {
        "Shared".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let _ = generator.subschema_for::<Probe>();
        // What a probe may say, without its own keys: put together in `narrow`.
        json_schema!({ "type": "object" })
    }
}

impl JsonSchema for Partner {
    fn schema_name() -> Cow<'static, str> {
        "Partner".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut probes = Named::<Form<String, Probe>>::json_schema(generator);
        let said = "Its probes by name; a plain text is the path.";
        probes.insert("description".to_owned(), said.into());
        json_schema!({
            "type": "object",
            "properties": {
                "host": {
                    "description": "Where its probes' paths are (\"api.acme.example\", over https unless \"http://\" stands before it).",
                    "type": "string"
                },
                "probes": probes
            }
        })
    }
}
