import { useEffect, useRef, useState } from "preact/hooks";
import { asCurl, asPython, holdsFiles, lackOfCommands, link, MAX_FILES } from "../state/share";
import { bytes } from "../text/format";
import { Dialog } from "./Dialog";
import { Failure, Notice } from "./Notice";

/** The program as a link, as a curl command, and as Python code. */
export function Share({ onClose }: { onClose(): void }) {
  const [made, setMade] = useState("");
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    link().then(setMade, setError);
  }, []);
  return (
    <Dialog title="Share" onClose={onClose}>
      <p class="faint">The link holds the program. The browser does not send the part after # to the server.</p>
      {!holdsFiles() && (
        <Notice kind="warn">The files are left out: together they are larger than {bytes(MAX_FILES)}.</Notice>
      )}
      {error && <Failure error={error} />}
      <Copied label="Link" text={made} />
      {lackOfCommands() ? (
        <p class="faint">{lackOfCommands()}</p>
      ) : (
        <>
          <Copied label="curl" text={asCurl()} />
          <Copied label="Python" text={asPython()} />
        </>
      )}
      <p>
        <a href="docs" target="_blank" rel="noopener">
          All requests of this server
        </a>
      </p>
    </Dialog>
  );
}

function Copied({ label, text }: { label: string; text: string }) {
  const field = useRef<HTMLTextAreaElement>(null);
  const [told, setTold] = useState("");
  const copy = async () => {
    setTold((await copied(field.current as HTMLTextAreaElement)) ? "Copied" : "Press Ctrl-C");
    setTimeout(() => setTold(""), 3000);
  };
  return (
    <div class="copied">
      <label>
        <span>{label}</span>
        <textarea
          ref={field}
          readOnly
          wrap="off"
          rows={Math.min(7, text.split("\n").length)}
          value={text}
          spellcheck={false}
        />
      </label>
      <span class="hidden" role="status">
        {told && `${label}: ${told}`}
      </span>
      <button type="button" {...(told ? {} : { "aria-label": `Copy ${label}` })} disabled={!text} onClick={copy}>
        {told || "Copy"}
      </button>
    </div>
  );
}

/** Copy the text of a field, which is selected; return false if the browser does not allow that. */
async function copied(field: HTMLTextAreaElement): Promise<boolean> {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value); // only for pages over HTTPS, and of this machine
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
