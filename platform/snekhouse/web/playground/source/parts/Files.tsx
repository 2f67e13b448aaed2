import { useRef } from "preact/hooks";
import type { File64 } from "../api/types";
import { announce } from "../state/announce";
import { files } from "../state/program";
import { encode } from "../text/base64";
import { bytes, counted } from "../text/format";
import { focusOn } from "./focus";
import { Icon } from "./Icon";
import { isPicture, Preview } from "./Preview";

/** Bytes of all files of a request: base64 makes them larger by a third, and a server takes 64 MiB by default. */
const MAX_SIZE = 40 * 1024 * 1024;

/** Add files to the program; one with the path of another replaces it. */
export async function addFiles(added: Iterable<File>): Promise<void> {
  const wanted = Array.from(added);
  requireRoom(wanted); // before they are read
  const read = await Promise.all(wanted.map(asFile64));
  const kept = files.value.filter((each) => !read.some((file) => file.path === each.path));
  requireRoom([...kept, ...read]);
  files.value = [...kept, ...read];
  announce(`${counted(read.length, "file")} added.`);
}

function requireRoom(all: { size: number }[]): void {
  if (all.reduce((sum, file) => sum + file.size, 0) <= MAX_SIZE) return;
  throw new RangeError(`These files are too large: together they may have at most ${bytes(MAX_SIZE)}.`);
}

async function asFile64(file: File): Promise<File64> {
  const path = file.webkitRelativePath || file.name;
  return { path, size: file.size, content: encode(new Uint8Array(await file.arrayBuffer())) };
}

/** The files that the program finds, with a button to add some. */
export function InputFiles({ onError }: { onError(error: Error): void }) {
  const input = useRef<HTMLInputElement>(null);
  const remove = (path: string) => {
    files.value = files.value.filter((each) => each.path !== path);
    focusOn(".input-files li:last-child button");
  };
  return (
    <div class="input-files">
      <ul class="chips" aria-label="Input files">
        {files.value.map((file) => (
          <li key={file.path} class="chip">
            <Icon name="file" />
            <span title={file.path}>{file.path}</span>
            <small>{bytes(file.size)}</small>
            <button type="button" class="quiet" aria-label={`Remove ${file.path}`} onClick={() => remove(file.path)}>
              <Icon name="close" />
            </button>
          </li>
        ))}
        <li>
          <button type="button" class="quiet" onClick={() => input.current?.click()}>
            <Icon name="add" /> Files
          </button>
        </li>
      </ul>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          addFiles(event.currentTarget.files ?? []).catch(onError);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

/** How many pictures are shown at once, and their bytes; the others open on a click. */
const [MAX_OPEN, MAX_OPEN_SIZE] = [12, 8 << 20];

function openFirst(found: File64[]): File64[] {
  let size = 0;
  return found
    .filter(isPicture)
    .slice(0, MAX_OPEN)
    .filter((file) => {
      size += file.size;
      return size <= MAX_OPEN_SIZE;
    });
}

/** The files that a program left, each with a download, and a preview if it is text, a table or a picture. */
export function OutputFiles({ found }: { found: File64[] }) {
  if (!found.length) return null;
  const open = new Set(openFirst(found));
  return (
    <section class="output-files" aria-label="Output files">
      <h3>{counted(found.length, "file")}</h3>
      <ul>
        {found.map((file) => (
          <li key={file.path}>
            <Preview file={file} isOpenFirst={open.has(file)} />
          </li>
        ))}
      </ul>
    </section>
  );
}
