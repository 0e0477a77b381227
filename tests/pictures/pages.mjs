// Looks at the pages of a running dashboard in a real browser, with the policy that it has: rules of accessibility,
// sideways scrolling, errors in the console; then the keyboard, forced colours, no JavaScript, and paper. Writes a picture of
// each page for the eye.
//
//   npm install --ignore-scripts --legacy-peer-deps && edgewatch demo --keep   # prints the address
//   node pages.mjs http://localhost:PORT/ [FOLDER]
//
// Needs Chromium (CHROMIUM, or /usr/bin/chromium). Exit code 0 when nothing was found.

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, out = "pages"] = process.argv.slice(2);
const pages = {
  now: "",
  incidents: "incidents",
  incident: "incidents/1",
  then: "incidents/1?round=4",
  letter: "incidents/1/letter",
  postmortem: "incidents/1/post-mortem",
  cell: "cells/gmc-connect/office/legacy-reval/gmc",
  probe: "probes/gmc-connect?range=24h",
  month: "months",
  events: "events",
  quiet: "quiet",
  try: "try",
  deliveries: "deliveries",
  schedule: "schedule",
  drift: "drift",
  configuration: "config",
  wall: "wall",
  signin: "sign-in",
  help: "help",
  accessibility: "accessibility",
  status: "status",
  missing: "nothing",
};
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

const found = [];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});
mkdirSync(out, { recursive: true });
for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 320]) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    const page = await context.newPage();
    for (const [name, path] of Object.entries(pages)) {
      const say = (what) => found.push(`${name}, ${colorScheme}, ${width} px: ${what}`);
      const heard = (message) => {
        // That a page is missing is what is looked at.
        if (message.type() === "error" && !message.text().includes("404")) say(message.text());
      };
      page.on("console", heard);
      page.on("pageerror", (error) => say(error.message));
      await page.goto(base + path, { waitUntil: "load" });
      await page.screenshot({ path: join(out, `${name}-${colorScheme}-${width}.png`), fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 0) say(`scrolls sideways by ${wide} px`);
      // A script tag would be refused, as it should be.
      await page.evaluate(axe);
      const { violations } = await page.evaluate((values) => axe.run({ runOnly: { type: "tag", values } }), rules);
      for (const { id, help, nodes } of violations) say(`${id}: ${help}: ${nodes[0].html}`);
      page.removeAllListeners();
    }
    await context.close();
  }
}

/** A page of its own, and what is wrong with it. */
async function look(name, options, path, check) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  await page.goto(base + path, { waitUntil: "load" });
  for (const what of await check(page)) found.push(`${path || "now"}, ${name}: ${what}`);
  await context.close();
}

/** From the skip link through all that takes the focus and out again: each is seen where it has it, none keeps it. */
async function keyboard(page) {
  const wrong = [];
  const many = await page.locator("a[href], button, input, select, textarea, summary, [tabindex='0']").count();
  let last = "";
  for (let step = 0; step <= many + 1; step++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const it = document.activeElement;
      if (!it || it === document.body) return undefined;
      const { top, bottom, width, height } = it.getBoundingClientRect();
      const { outlineStyle, outlineWidth } = getComputedStyle(it);
      return {
        text: `${it.tagName} ${(it.textContent || it.name || "").trim().slice(0, 40)}`,
        seen: width > 0 && height > 0 && bottom > 0 && top < innerHeight,
        ring: outlineStyle !== "none" && outlineWidth !== "0px",
      };
    });
    if (!at) return step ? wrong : ["nothing takes the focus"];
    if (step === 0 && !at.text.includes("Skip")) wrong.push(`the first is ${at.text}, not the skip link`);
    if (!at.seen) wrong.push(`${at.text} has the focus where nobody sees it`);
    if (!at.ring) wrong.push(`${at.text} does not show that it has the focus`);
    last = at.text;
  }
  return [...wrong, `the focus never leaves the page (${last})`];
}

for (const path of ["", "incidents/1", "quiet", "schedule", "status"]) await look("keyboard", {}, path, keyboard);

await look("forced colours", { forcedColors: "active" }, "", async (page) => {
  await page.screenshot({ path: join(out, "now-forced.png"), fullPage: true });
  return page.$$eval(".matrix td, .fails li > span, .tag", (cells) =>
    cells
      .filter((it) => getComputedStyle(it).display !== "none" && it.offsetParent)
      .filter((it) => !it.textContent.trim() || (it.tagName === "TD" && getComputedStyle(it).borderTopStyle === "none"))
      .map((it) => `${it.outerHTML.slice(0, 80)} says nothing without its colour`));
});

await look("no JavaScript", { javaScriptEnabled: false }, "incidents/1", async (page) => {
  const moment = () => page.locator("#then strong").first().textContent();
  const [before, wrong] = [await moment(), []];
  const here = page.url();
  await page.locator("#then a[rel=prev]").click();
  await page.waitForURL((url) => url.href !== here);
  if ((await moment()) === before) wrong.push("Earlier shows the same moment");
  if (!page.url().includes("at=")) wrong.push("the moment is not in the address");
  await page.locator("#then button").click();
  if (!page.url().includes("round=")) wrong.push("the slider's button does nothing");
  if (!(await page.locator("h1").isVisible())) wrong.push("no title");
  if (await page.getByText("Pause").count()) wrong.push("a button that does nothing");
  return wrong;
});

await look("paper", {}, "incidents/1", async (page) => {
  await page.emulateMedia({ media: "print" });
  const wrong = [];
  if (await page.locator("header nav").isVisible()) wrong.push("the bar is printed");
  for (const part of ["Why we think so", "Ruled out", "Timeline", "How it looked"])
    if (!(await page.getByRole("heading", { name: part }).isVisible())) wrong.push(`${part} is not printed`);
  if ((await page.pdf({ format: "A4" })).length < 20000) wrong.push("next to nothing is printed");
  return wrong;
});

await browser.close();
console.log(found.length ? found.join("\n") : "nothing was found");
process.exitCode = found.length ? 1 : 0;
