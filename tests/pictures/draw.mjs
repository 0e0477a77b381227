// Draws the messages that the snapshots hold into docs/pictures, so that people can judge them by eye.
//
//   npm install --ignore-scripts --legacy-peer-deps && node draw.mjs
//
// Teams cards go through Microsoft's own renderer with the host configuration of Teams; Slack messages through
// a small drawing of ours. Needs Chromium (CHROMIUM, or /usr/bin/chromium).

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import UPNG from "upng-js";
import { slack } from "./slack.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const snapshots = join(here, "..", "it", "snapshots");
const out = join(here, "..", "..", "docs", "pictures");
const BYTES_MAX = 60_000;

const pictures = {
  slack: {
    slack_opened: "clicks__slack_parent_with_buttons",
    slack_changed: "slack__slack_parent_changed",
    slack_reminder: "slack__slack_parent_reminder",
    slack_silenced: "slack__slack_parent_silenced",
    slack_fixed: "slack__slack_parent_resolved",
    slack_reopened: "slack__slack_parent_reopened",
    slack_evidence: "slack__slack_reply_opened",
    slack_reply_changed: "slack__slack_reply_changed",
    slack_reply_fixed: "slack__slack_reply_resolved",
    slack_storm: "storm__slack_summary",
  },
  teams: {
    teams_opened: "teams__teams_opened",
    teams_changed: "teams__teams_changed",
    teams_reminder: "teams__teams_reminder",
    teams_fixed: "teams__teams_resolved",
    teams_reopened: "teams__teams_reopened",
    teams_whole: "teams__teams_whole",
    teams_plain: "teams__teams_plain",
    teams_storm: "storm__teams_together",
    teams_all_is_well: "notices__notice_all_is_well",
    teams_unreachable: "notices__notice_unreachable",
  },
};

/** The JSON of a snapshot, behind its head between two lines of dashes. */
function read(name) {
  const text = readFileSync(join(snapshots, `it__${name}.snap`), "utf8");
  return JSON.parse(text.slice(text.indexOf("\n---\n") + 5));
}

function teams(message) {
  const modules = join(here, "node_modules");
  const script = (path) => readFileSync(join(modules, path), "utf8").replaceAll("</script", "<\\/script");
  const host = readFileSync(join(modules, "adaptivecards-designer/lib/hostConfigs/microsoft-teams-light.json"), "utf8");
  const card = JSON.stringify(message.attachments[0].content).replaceAll("<", "\\u003c");
  return `<style>
    body { margin: 0; padding: 12px; background: #f5f5f5; font-family: "Segoe UI", "Liberation Sans", Arial, sans-serif; }
    #card { background: #fff; border-radius: 6px; box-shadow: 0 1px 3px #0003; overflow: hidden; }
  </style><div id=card></div>
  <script>${script("adaptivecards/dist/adaptivecards.min.js")}</script>
  <script>${script("markdown-it/dist/markdown-it.min.js")}</script>
  <script>
    AdaptiveCards.AdaptiveCard.onProcessMarkdown = (text, result) => {
      result.outputHtml = window.markdownit().render(text);
      result.didProcess = true;
    };
    const card = new AdaptiveCards.AdaptiveCard();
    card.hostConfig = new AdaptiveCards.HostConfig(${host});
    const context = new AdaptiveCards.SerializationContext();
    card.parse(${card}, context);
    document.getElementById("card").appendChild(card.render());
    for (let i = 0; i < context.eventCount; i++) document.body.dataset.trouble = context.getEventAt(i).message;
  </script>`;
}

const profile = mkdtempSync(join(tmpdir(), "pictures-"));
function chromium(...args) {
  const quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars --disable-lcd-text";
  return execFileSync(
    process.env.CHROMIUM ?? "/usr/bin/chromium",
    [...quiet.split(" "), `--user-data-dir=${profile}`, ...args],
    { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
  );
}

let failed = false;
const wanted = process.argv.slice(2);
for (const [kind, of] of Object.entries(pictures)) {
  for (const [name, snapshot] of Object.entries(of)) {
    if (wanted.length && !wanted.includes(name)) continue;
    const body = (kind === "slack" ? slack : teams)(read(snapshot));
    const page = join(profile, `${name}.html`);
    writeFileSync(
      page,
      `<!doctype html><meta charset=utf-8><body>${body}<script>document.documentElement.dataset.height = Math.ceil(document.body.getBoundingClientRect().height)</script>`,
    );
    const width = 640;
    const dom = chromium(`--window-size=${width},200`, "--dump-dom", `file://${page}`);
    const height = Number(/data-height="(\d+)"/.exec(dom)[1]);
    const trouble = /data-trouble="([^"]*)"/.exec(dom);
    const picture = join(out, `${name}.png`);
    // A low window hides its lower part, so the picture is taken larger and cut.
    chromium(`--window-size=${width},${height + 200}`, `--screenshot=${picture}`, `file://${page}`);
    // Text and a few plain colours: a palette looks the same and is half the size.
    const shot = UPNG.decode(readFileSync(picture));
    const pixels = UPNG.toRGBA8(shot)[0].slice(0, width * height * 4);
    writeFileSync(picture, Buffer.from(UPNG.encode([pixels], width, height, 32)));
    const { size } = statSync(picture);
    console.log(`${name}: ${width}×${height}, ${size} bytes${trouble ? `, ${trouble[1]}` : ""}`);
    failed ||= size > BYTES_MAX || Boolean(trouble);
  }
}
rmSync(profile, { recursive: true, force: true });
if (failed) {
  console.error("a picture is too large, or a card has trouble");
  process.exit(1);
}
