import { useRef, useState } from "preact/hooks";
import { isKeyWanted, isOffline, setKey } from "../api/client";
import { loadRuntimes } from "../state/server";
import { focusOn } from "./focus";
import { Notice } from "./Notice";

/** Ask for the key that a gateway in front of the server needs. */
export function Key() {
  const field = useRef<HTMLInputElement>(null);
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      setKey((field.current as HTMLInputElement).value.trim());
      await loadRuntimes();
      if (isOffline.value) throw new Error("The server does not answer.");
      if (isKeyWanted.value) throw new Error("This key was refused.");
      focusOn(".cm-content");
    } catch (refused) {
      setError((refused as Error).message);
    }
  };
  return (
    <Notice kind="warn">
      <form class="key" onSubmit={submit}>
        <label>
          <span>This server needs a key. The page keeps the key until you close this tab.</span>
          <input ref={field} type="password" autocomplete="off" required />
        </label>
        <button type="submit">Use key</button>
        {error && <p role="alert">{error}</p>}
      </form>
    </Notice>
  );
}
