/**
 * Show the HTML that a program returned, in a frame without an origin.
 *
 * The policy of this document allows only this script: scripts and event handlers in the HTML do not run.
 */

const STYLE = `
  :root { font: 14px/1.45 system-ui, sans-serif; }
  body { display: flow-root; margin: 0; padding: 1px; overflow-wrap: anywhere; }
  img { display: block; max-width: 100%; }
  table { border-collapse: collapse; font-size: 13px; }
  th, td { border: 1px solid color-mix(in srgb, currentColor 22%, transparent); padding: 3px 8px; text-align: right; }
`;

function show(html: string, scheme: string): void {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);
  document.documentElement.style.colorScheme = scheme;
  const template = document.createElement("template");
  template.innerHTML = html;
  // One could load the frame again and again, or make the browser connect to another server.
  for (const each of template.content.querySelectorAll("meta, link, base")) each.remove();
  document.body.replaceChildren(template.content);
  const tell = () => parent.postMessage({ height: Math.ceil(document.body.getBoundingClientRect().height) }, "*");
  new ResizeObserver(tell).observe(document.body);
  tell();
}

addEventListener("message", (event: MessageEvent) => {
  const { html, scheme } = event.data as { html: string; scheme: string };
  if (event.source === parent) show(html, scheme);
});
