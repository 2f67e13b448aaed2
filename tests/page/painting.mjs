// Print the milliseconds until the first paint, and until the editor is there, of some visits, as JSON:
// node painting.mjs CHROMIUM URL
import puppeteer from "puppeteer-core";

const [executablePath, url] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox"] });
const found = [];
for (let visit = 0; visit < 5; visit += 1) {
  const context = await browser.createBrowserContext(); // with an empty cache
  const page = await context.newPage();
  await page.evaluateOnNewDocument(() => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".cm-content")) return;
      window.editorAt = performance.now();
      observer.disconnect();
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(url, { waitUntil: "networkidle0" });
  found.push(
    await page.evaluate(() => [performance.getEntriesByName("first-contentful-paint")[0].startTime, window.editorAt]),
  );
  await context.close();
}
console.log(JSON.stringify(found));
await browser.close();
