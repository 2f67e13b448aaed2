// Build the pages: `node build.mjs [FOLDER]`. With --tests, build the tests of pure modules and run them.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const OPTIONS = {
  absWorkingDir: HERE,
  bundle: true,
  loader: { ".py": "text" },
  format: "esm",
  jsx: "automatic",
  jsxImportSource: "preact",
  target: ["es2023", "chrome123", "firefox128", "safari17.5"],
};

async function buildPages(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const entryPoints = ["source/app.tsx", "source/admin.tsx", "source/frame.ts", "source/worker.ts", "source/app.css"];
  await build({ ...OPTIONS, entryPoints, outdir: folder, minify: true, legalComments: "none" });
  cpSync(join(HERE, "pages"), folder, { recursive: true });
}

async function runTests() {
  const folder = mkdtempSync(join(tmpdir(), "snekhouse-page-"));
  const entryPoints = readdirSync(join(HERE, "tests")).map((name) => `tests/${name}`);
  await build({
    ...OPTIONS,
    entryPoints,
    outdir: folder,
    platform: "node",
    target: "node20",
    outExtension: { ".js": ".mjs" },
  });
  const found = readdirSync(folder).map((name) => join(folder, name));
  const { status } = spawnSync(process.execPath, ["--test", ...found], { stdio: "inherit" });
  rmSync(folder, { recursive: true });
  process.exit(status ?? 1);
}

const [argument] = process.argv.slice(2);
await (argument === "--tests" ? runTests() : buildPages(argument ?? join(HERE, "..", "page")));
