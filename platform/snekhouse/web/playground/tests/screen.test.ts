import assert from "node:assert/strict";
import { test } from "node:test";
import { Screen, type Segment } from "../source/text/screen";

/** What is shown after some pieces of output, with styles in brackets. */
function shown(...pieces: string[]): string {
  const screen = new Screen();
  let characters: Segment[] = [];
  for (const piece of pieces) {
    const { removed, added } = screen.push(piece);
    characters = characters.slice(0, characters.length - removed);
    for (const { text, style } of added) characters.push(...Array.from(text, (text) => ({ text, style })));
  }
  const joined: Segment[] = [];
  for (const { text, style } of characters) {
    const last = joined.at(-1);
    if (last?.style === style) last.text += text;
    else joined.push({ text, style });
  }
  return joined.map(({ text, style }) => (style ? `[${style}|${text}]` : text)).join("");
}

test("a sequence of several pieces stays hidden, as long as it may be", () => {
  const link = `\x1b]8;;https://${"a".repeat(20_000)}\x1b\\link`;
  assert.equal(shown(link.slice(0, 9000), link.slice(9000, 18_000), link.slice(18_000)), "link");
});

test("text stays as it is", () => {
  assert.equal(shown("a\nb", "c\n"), "a\nbc\n");
});

test("colours and flags hold until they are reset, also across pieces", () => {
  assert.equal(shown("\x1b[1;31mred", "still", "\x1b[0mplain"), "[bold f1|redstill]plain");
  assert.equal(shown("\x1b[4mu\x1b[24mn"), "[underline|u]n");
  assert.equal(shown("\x1b[38;5;208mo\x1b[39md"), "[f208|o]d");
  assert.equal(shown("\x1b[38;2;255;0;0mr"), "[f196|r]");
});

test("a sequence that is cut in two is whole", () => {
  assert.equal(shown("a\x1b", "[3", "1mb"), "a[f1|b]");
});

test("sequences that do not style text are left out", () => {
  assert.equal(shown("\x1b[2J\x1b[10;10Ha\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x1bP1\x1b\\d\x1b(Be"), "abcde");
});

test("what only looks like a sequence is shown", () => {
  assert.equal(shown(`\x1b\x01${"a".repeat(200)}`), `^[^A${"a".repeat(200)}`);
});

test("a return begins its line anew, and keeps what is not written over", () => {
  assert.equal(shown("12345\rab"), "ab345");
  assert.equal(shown("12345", "\r", "ab"), "ab345");
  assert.equal(shown("one\ntwo\rT"), "one\nTwo");
  assert.equal(shown("one\r\ntwo"), "one\ntwo");
  assert.equal(shown("10%", "\r20%", "\r30%\n", "done"), "30%\ndone");
});

test("characters that nobody sees, or that reorder others, have a picture", () => {
  assert.equal(shown("a\0b\x07c\x7fd\u202ee\u2066f\tg"), "a^@b^Gc^?d\ufffde\ufffdf\tg");
});

test("styles that change too often are left out until more lines have come", () => {
  const screen = new Screen();
  const flood = Array.from({ length: 3000 }, (_, index) => `\x1b[3${index % 8}mx`).join("");
  const { added } = screen.push(flood);
  assert.equal(added.map((segment) => segment.text).join(""), "x".repeat(3000));
  assert.ok(added.length <= 1001);
  assert.equal(screen.push("\n\x1b[31mred").added.at(-1)?.style, "f1");
});

test("a return holds until the end of the line, over styles and pieces", () => {
  assert.equal(shown("\x1b[32m10%\x1b[0m done", "\r\x1b[32m20%\x1b[0m done"), "[f2|20%] done");
  assert.equal(shown("12345", "\r", "a", "b"), "ab345");
  assert.equal(shown("12345", "\rab", "cdefg", "!"), "abcdefg!");
  assert.equal(shown("12345\r\x1b[31mab\x1b[0mc\nd"), "[f1|ab]c45\nd");
});

test("a line is erased from the cursor on, or as a whole", () => {
  assert.equal(shown("100 of 100", "\r9 of 100\x1b[K"), "9 of 100");
  assert.equal(shown("one\ntwo", "\x1b[2Kx"), "one\nx");
  assert.equal(shown("one", "\x1b[K", " more"), "one more");
});

test("what looked like the start of a sequence is shown at the end", () => {
  const screen = new Screen();
  assert.deepEqual(screen.push("\x1b\nnext").added, [{ text: "^[\nnext", style: "" }]);
  assert.deepEqual(screen.push("x\x1b[3").added, [{ text: "x", style: "" }]);
  assert.deepEqual(screen.end().added, [{ text: "^[[3", style: "" }]);
  assert.equal(shown("a\x1bPpay", "load\x1b\\b"), "ab");
});

test("a bar keeps its colours however often it is rewritten", () => {
  assert.equal(shown(...Array.from({ length: 3000 }, (_, n) => `\r\x1b[32m${n}\x1b[0m`)), "[f2|2999]");
});

test("lines of many styles are not rewritten again and again", () => {
  const begin = performance.now();
  new Screen().push(`${"a\x1b[m".repeat(4000)}${"\rb".repeat(100_000)}`);
  new Screen().push(`${"\x1b[31ma\x1b[mb".repeat(1000)}${"\rb".repeat(100_000)}`);
  assert.ok(performance.now() - begin < 3000);
});

test("a return after other text rewrites nothing", () => {
  const screen = new Screen();
  screen.push("out");
  screen.forgetLine();
  assert.deepEqual(screen.push("\rnew"), { removed: 0, added: [{ text: "new", style: "" }] });
});
