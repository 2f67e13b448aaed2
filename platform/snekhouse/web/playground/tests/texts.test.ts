import assert from "node:assert/strict";
import { test } from "node:test";
import { casesOf, pairsOf } from "../source/text/cases";
import { marked } from "../source/text/differences";
import { bytes, counted, seconds } from "../source/text/format";
import { between, parsed, quantile, total } from "../source/text/metrics";
import { cellsOf, cellsOfJupyter, joined } from "../source/text/notebook";
import { quote, split } from "../source/text/shell";

test("words are split as a shell splits them", () => {
  assert.deepEqual(split(`one 'two words' "three \\"quoted\\"" fo\\ ur a'b'"c"`), [
    "one",
    "two words",
    'three "quoted"',
    "fo ur",
    "abc",
  ]);
  assert.deepEqual(split("  "), []);
  assert.deepEqual(split("'' x"), ["", "x"]);
});

test("words are quoted for a shell", () => {
  assert.equal(quote("plain/word-1.py"), "plain/word-1.py");
  assert.equal(quote("it's"), `'it'\\''s'`);
});

test("numbers have units", () => {
  assert.deepEqual([0.0042, 0.25, 2.5, 61].map(seconds), ["4.2 ms", "250 ms", "2.5 s", "61 s"]);
  assert.deepEqual([12, 1536, 70 << 20].map(bytes), ["12 B", "1.5 KiB", "70 MiB"]);
  assert.deepEqual([counted(1, "case"), counted(2, "case")], ["1 case", "2 cases"]);
});

test("words that another text does not have are marked", () => {
  const parts = marked("one two three", "one 2 three");
  assert.deepEqual(
    parts.filter((part) => part.differs).map((part) => part.text),
    ["two"],
  );
  assert.equal(parts.map((part) => part.text).join(""), "one two three");
});

test("texts that have nothing in common are compared in time", () => {
  const [one, other] = ["abc ".repeat(6000), "xyz\n".repeat(6000)];
  const begin = performance.now();
  assert.equal(
    marked(one, other)
      .map((part) => part.text)
      .join(""),
    one,
  );
  assert.ok(performance.now() - begin < 1000);
});

test("pairs of files are cases in the order of their numbers", async () => {
  const files = ["10.in", "2.in", "2.out", "10.ans", "3.in"].map((name) => new File([name], name));
  assert.deepEqual(await casesOf(pairsOf(files)), [
    { name: "2", stdin: "2.in", expected: "2.out" },
    { name: "10", stdin: "10.in", expected: "10.ans" },
  ]);
});

const BEFORE = parsed(`# HELP x_total Things.
# TYPE x_total counter
x_total{runtime="3.12",status="ok"} 3.0
x_total{runtime="3.13",status="ok"} 4
x_total{runtime="a \\"b\\"",status="error"} 1
t_bucket{le="0.1"} 0
t_bucket{le="1.0"} 0
t_bucket{le="+Inf"} 0
`);
const AFTER = parsed(`x_total{runtime="3.12",status="ok"} 5
x_total{runtime="3.13",status="ok"} 4
t_bucket{le="0.1"} 8
t_bucket{le="1.0"} 9
t_bucket{le="+Inf"} 10
`);

test("samples are added up by their labels", () => {
  assert.equal(total(BEFORE, "x_total"), 8);
  assert.equal(total(BEFORE, "x_total", { status: "ok" }), 7);
  assert.equal(between(BEFORE, AFTER, "x_total", { runtime: "3.12" }), 2);
});

test("a counter that begins again counts from zero", () => {
  assert.equal(between(AFTER, BEFORE, "x_total", { runtime: "3.12" }), 3);
});

test("quantiles come from the buckets of the time between", () => {
  assert.equal(quantile(BEFORE, AFTER, "t", 0.5), 0.1);
  assert.equal(quantile(BEFORE, AFTER, "t", 0.9), 1);
  assert.equal(quantile(BEFORE, AFTER, "t", 1), 1);
  assert.equal(quantile(AFTER, AFTER, "t", 0.5), null);
});

test("a notebook is saved as a program that opens as the same cells", () => {
  const cells = ["import this", "x = 1\nx", ""];
  assert.equal(joined(["a", "b"]), "# %%\na\n\n# %%\nb\n");
  assert.deepEqual(cellsOf(joined(cells)), cells);
  assert.deepEqual(cellsOf("print(1)\n"), ["print(1)"]);
  assert.deepEqual(cellsOf("a\n# %% a title\nb\n#%%\nc"), ["a", "b", "c"]);
});

test("of a notebook of Jupyter, the code is taken", () => {
  const cell = (cell_type: string, source: unknown) => ({ cell_type, source });
  const cells = [cell("markdown", "# Title"), cell("code", ["x = 1\r\n", "x"]), cell("code", "y")];
  assert.deepEqual(cellsOfJupyter(JSON.stringify({ cells })), ["x = 1\nx", "y"]);
  const wrong = ["[]", "{", "null", '{"cells":[null]}', JSON.stringify({ cells: [cell("code", [{}])] })];
  for (const text of wrong) assert.throws(() => cellsOfJupyter(text), /it is not a notebook of Jupyter/);
});
