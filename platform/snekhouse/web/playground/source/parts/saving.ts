/** Milliseconds until the address of a saved file is given up; by then the browser has read it. */
const KEEP_MS = 10_000;

/** Save a file to the downloads of the browser. */
export function save(name: string, content: BlobPart): void {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([content]));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEEP_MS);
}
