import { EXAMPLES, type Example } from "../examples";
import { Dialog } from "./Dialog";

/** A list of programs that show what differs between versions. */
export function Examples({ onOpen, onClose }: { onOpen(example: Example): void; onClose(): void }) {
  return (
    <Dialog title="Examples" onClose={onClose}>
      <p class="faint">Each runs in every version, and shows what differs.</p>
      <ul class="examples">
        {EXAMPLES.map((each) => (
          <li key={each.title}>
            <button
              type="button"
              onClick={(event) => {
                event.currentTarget.closest("dialog")?.close(); // the focus goes back
                onOpen(each);
              }}
            >
              <strong>{each.title}</strong>
              <span>{each.about}</span>
            </button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
