import { useEffect, useRef, useState } from "preact/hooks";
import { urlOf } from "../api/urls";
import { scheme } from "../state/theme";

const MAX_HEIGHT = 600;

/**
 * An SVG of a program, as a picture in a frame. A browser may take seconds to draw it; in Chromium, where such a frame
 * has its own process, the page does not wait for that.
 *
 * @param content The SVG in base64.
 */
export function Drawing({ content, title }: { content: string; title: string }) {
  return (
    <Frame html={`<img alt="" style="background: #fff" src="data:image/svg+xml;base64,${content}">`} title={title} />
  );
}

/** HTML of a program, in a frame that has no origin and runs no script of it. */
export function Frame({ html, title = "HTML of the program" }: { html: string; title?: string }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [height, setHeight] = useState(80);

  useEffect(() => {
    const onMessage = (event: MessageEvent) => {
      if (event.source !== frame.current?.contentWindow) return;
      const told = Number((event.data as { height?: unknown } | null)?.height);
      if (Number.isFinite(told)) setHeight(Math.max(24, Math.min(MAX_HEIGHT, told)));
    };
    addEventListener("message", onMessage);
    return () => removeEventListener("message", onMessage);
  }, []);

  const fill = () => frame.current?.contentWindow?.postMessage({ html, scheme: scheme() }, "*");
  return (
    <iframe
      ref={frame}
      class="frame"
      title={title}
      sandbox="allow-scripts"
      src={urlOf("page/frame.html").href}
      style={{ height: `${height}px` }}
      onLoad={fill}
    />
  );
}
