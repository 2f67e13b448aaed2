import { MODES, type Mode, mode } from "../state/program";

export const TITLES: Record<Mode, string> = {
  run: "Run",
  compare: "Every version",
  notebook: "Notebook",
  judge: "Judge",
};

/** The modes of the page. Arrow keys move between them. */
export function Tabs() {
  const move = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    mode.value = MODES[(MODES.indexOf(mode.value) + by + MODES.length) % MODES.length] as Mode;
    document.getElementById(`tab-${mode.value}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="What to do" onKeyDown={move}>
      {MODES.map((each) => (
        <button
          key={each}
          type="button"
          role="tab"
          id={`tab-${each}`}
          aria-controls="content"
          aria-selected={mode.value === each}
          tabIndex={mode.value === each ? 0 : -1}
          onClick={() => {
            mode.value = each;
          }}
        >
          {TITLES[each]}
        </button>
      ))}
    </div>
  );
}
