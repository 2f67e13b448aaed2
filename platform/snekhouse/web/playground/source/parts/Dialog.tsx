import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./Icon";

interface Props {
  title: string;
  onClose(): void;
  children: ComponentChildren;
}

/** A modal dialog; Escape and a click beside it close it. */
export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const pressed = useRef(false);
  const isBeside = (event: MouseEvent) => {
    const { left, right, top, bottom } = (dialog.current as HTMLDialogElement).getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    return event.target === dialog.current && (x < left || x > right || y < top || y > bottom);
  };
  const onPointerDown = (event: PointerEvent) => {
    pressed.current = isBeside(event);
  };
  const onClick = (event: MouseEvent) => {
    if (pressed.current && isBeside(event)) dialog.current?.close(); // a selection may end beside it
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a dialog
    <dialog ref={dialog} aria-label={title} onClose={onClose} onPointerDown={onPointerDown} onClick={onClick}>
      <header>
        <h2>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}
