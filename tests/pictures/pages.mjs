// Looks at the pages of a running dashboard in a real browser, with the policy that it has: rules of accessibility,
// sideways scrolling, errors in the console. Writes a picture of each page for the eye.
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
  letter: "incidents/1/letter",
  postmortem: "incidents/1/post-mortem",
  cell: "cells/gmc-connect/office/legacy-reval/gmc",
  probe: "probes/gmc-connect?range=24h",
  month: "months",
  events: "events",
  quiet: "quiet",
  deliveries: "deliveries",
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
await browser.close();
console.log(found.length ? found.join("\n") : "nothing was found");
process.exitCode = found.length ? 1 : 0;
