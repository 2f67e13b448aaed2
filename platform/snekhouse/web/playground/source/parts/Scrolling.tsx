import type { ComponentChildren } from "preact";

interface Props {
  label: string;
  class: string;
  children: ComponentChildren;
}

/** A region that scrolls. The keyboard reaches it, so that it can be read without a mouse. */
export function Scrolling({ label, class: name, children }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be in reach of the keyboard
    // biome-ignore lint/a11y/useSemanticElements: there may be many, and a section would be a landmark to skip to
    <div role="group" aria-label={label} class={name} tabIndex={0}>
      {children}
    </div>
  );
}
