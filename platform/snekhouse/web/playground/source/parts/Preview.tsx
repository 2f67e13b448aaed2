import { csvParseRows, tsvParseRows } from "d3-dsv";
import { useEffect, useState } from "preact/hooks";
import type { File64 } from "../api/types";
import { decode, textOf } from "../text/base64";
import { bytes, counted } from "../text/format";
import { withNewlines } from "../text/newlines";
import { visible } from "../text/screen";
import { Drawing } from "./Frame";
import { Icon } from "./Icon";
import { Scrolling } from "./Scrolling";
import { save } from "./saving";

const SVG = "image/svg+xml";
const PICTURES = new Map([
  ["png", "image/png"],
  ["jpg", "image/jpeg"],
  ["jpeg", "image/jpeg"],
  ["gif", "image/gif"],
  ["webp", "image/webp"],
  ["svg", SVG],
]);
/** Bytes of a file that is shown as text or as a table; a larger one can only be downloaded. */
const MAX_TEXT = 200_000;
const MAX_PICTURE = 8 << 20;
const MAX_ROWS = 200;
const MAX_COLUMNS = 40;

/** Whether a file is shown as a picture. */
export function isPicture(file: File64): boolean {
  return pictureType(file) !== undefined;
}

function pictureType(file: File64): string | undefined {
  return file.size <= MAX_PICTURE ? PICTURES.get(extensionOf(file)) : undefined;
}

function extensionOf({ path }: File64): string {
  return path.split(".").pop()?.toLowerCase() ?? "";
}

/** A file: its name, a download, and what can be shown of it, which opens and closes on a click. */
export function Preview({ file, isOpenFirst }: { file: File64; isOpenFirst: boolean }) {
  const picture = pictureType(file);
  const [isOpen, setOpen] = useState(isOpenFirst);
  const canShow = picture !== undefined || file.size <= MAX_TEXT;
  return (
    <div class="preview">
      <div class="line">
        {canShow ? (
          <button type="button" class="quiet name" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            <Icon name="file" /> {visible(file.path)}
          </button>
        ) : (
          <span class="name">
            <Icon name="file" /> {visible(file.path)}
          </span>
        )}
        <small>{bytes(file.size)}</small>
        <button
          type="button"
          class="quiet"
          aria-label={`Download ${file.path}`}
          onClick={() => save(file.path.split("/").pop() as string, decode(file.content))}
        >
          <Icon name="download" />
        </button>
      </div>
      {isOpen &&
        (picture ? <Picture file={file} type={picture} /> : <TextOf file={file} extension={extensionOf(file)} />)}
    </div>
  );
}

/** A picture that a program left. */
function Picture({ file, type }: { file: File64; type: string }) {
  return type === SVG ? <Drawing content={file.content} title={file.path} /> : <Bitmap file={file} type={type} />;
}

function Bitmap({ file, type }: { file: File64; type: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([decode(file.content)], { type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file.content, type]);
  return url ? <img class="picture" src={url} alt={file.path} /> : null;
}

function TextOf({ file, extension }: { file: File64; extension: string }) {
  const { path } = file;
  const text = textOf(decode(file.content));
  if (text === null) return <p class="faint">This file is not text. Download it to read it.</p>;
  if (extension === "csv" || extension === "tsv")
    return <Table path={path} text={text} isTabbed={extension === "tsv"} />;
  return (
    <Scrolling class="text" label={path}>
      {visible(withNewlines(text))}
    </Scrolling>
  );
}

function Table({ path, text, isTabbed }: { path: string; text: string; isTabbed: boolean }) {
  const [head = [], ...rows] = (isTabbed ? tsvParseRows : csvParseRows)(visible(withNewlines(text)));
  const shown = rows.slice(0, MAX_ROWS);
  return (
    <Scrolling class="table" label={path}>
      <table>
        <thead>
          <tr>
            {head.slice(0, MAX_COLUMNS).map((cell, index) => (
              <th key={index} scope="col">
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row, at) => (
            <tr key={at}>
              {row.slice(0, MAX_COLUMNS).map((cell, index) => (
                <td key={index}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown.length && <p class="faint">{counted(rows.length - shown.length, "more row")}</p>}
      {head.length > MAX_COLUMNS && <p class="faint">{counted(head.length - MAX_COLUMNS, "more column")}</p>}
    </Scrolling>
  );
}
