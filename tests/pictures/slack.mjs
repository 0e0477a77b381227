// A small drawing of Block Kit, for documentation: close to Slack's looks, no oracle for what Slack accepts.

const entities = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const html = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** mrkdwn: bold, code, line breaks; links and mentions that stand as tokens. */
function markdown(text) {
  const links = text.replace(/<(https?:[^|>]+)\|([^>]+)>/g, "\u0001a href='$1'\u0002$2\u0001/a\u0002").replace(/<(!subteam\^|@|!)([^>|]+)>/g, "\u0001span class=mention\u0002@$2\u0001/span\u0002");
  return html(entities(links))
    .replaceAll("\u0001", "<")
    .replaceAll("\u0002", ">")
    .replace(/\*([^*\n]+)\*/g, "<b>$1</b>")
    .replace(/`([^`\n]+)`/g, "<code>$1</code>")
    .replaceAll("\n", "<br>");
}

const text = (object) => (object.type === "mrkdwn" ? markdown(object.text) : html(entities(object.text)));

function block(it) {
  switch (it.type) {
    case "section":
      return `<div class=section>${it.text ? text(it.text) : ""}${
        it.fields ? `<div class=fields>${it.fields.map((f) => `<div>${text(f)}</div>`).join("")}</div>` : ""
      }</div>`;
    case "context":
      return `<div class=context>${it.elements.map(text).join(" ")}</div>`;
    case "actions":
      return `<div class=actions>${it.elements.map((b) => `<span class=button>${html(b.text.text)}</span>`).join("")}</div>`;
    case "rich_text":
      return it.elements.map((e) => `<pre>${html(e.elements.map((t) => t.text).join(""))}</pre>`).join("");
    default:
      throw new Error(`no drawing for ${it.type}`);
  }
}

export function slack(message) {
  const attachments = (message.attachments ?? []).map(
    (a) => `<div class=attachment style="border-color:${a.color}">${a.blocks.map(block).join("")}</div>`,
  );
  const blocks = (message.blocks ?? []).map(block).join("");
  // Slack shows the text above attachments, and not at all beside blocks.
  const top = message.blocks ? "" : `<div class=text>${markdown(message.text)}</div>`;
  return `<style>
    body { font: 15px/1.46 Lato, "Liberation Sans", Arial, sans-serif; color: #1d1c1d; margin: 0; padding: 12px 16px; background: #fff; }
    .name { font-weight: 900; } .app { font-size: 10px; background: #ddd; border-radius: 2px; padding: 1px 3px; margin-left: 4px; color: #616061; }
    .attachment { border-left: 4px solid; border-radius: 4px; padding: 2px 0 2px 12px; margin: 4px 0; }
    .section, .actions { margin: 6px 0; } .fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; margin-top: 4px; }
    .context { font-size: 13px; color: #616061; margin: 6px 0; }
    pre { font: 12px/1.5 "DejaVu Sans Mono", monospace; background: #f8f8f8; border: 1px solid #ddd; border-radius: 4px; padding: 8px; margin: 6px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
    code { font: 12px "DejaVu Sans Mono", monospace; color: #c01343; background: #f8f8f8; border: 1px solid #ddd; border-radius: 3px; padding: 1px 3px; }
    .button { display: inline-block; border: 1px solid #bbb; border-radius: 4px; padding: 3px 12px; font-weight: 700; font-size: 13px; margin-right: 8px; }
    .mention { background: #fff3d1; color: #1264a3; border-radius: 3px; padding: 0 2px; }
  </style><div><span class=name>edgewatch</span><span class=app>APP</span></div>${top}${blocks}${attachments.join("")}`;
}
