import { useMemo } from "preact/hooks";
import { encode } from "../text/base64";
import { visible } from "../text/screen";
import { Drawing, Frame } from "./Frame";
import { Scrolling } from "./Scrolling";

/** The value of a cell, in the richest form that can be shown, and the figures that it drew. */
export function Value({ result, figures }: { result: Record<string, string> | null; figures: string[] }) {
  return (
    <>
      {result && <Form result={result} />}
      {figures.map((content, index) => (
        <img key={index} class="picture" src={`data:image/png;base64,${content}`} alt={`Figure ${index + 1}`} />
      ))}
    </>
  );
}

/** Characters of a value that is shown as text; and of the text that names a picture. */
const [MAX_TEXT, MAX_NAME] = [20_000, 200];

function Form({ result }: { result: Record<string, string> }) {
  const svg = result.svg;
  const drawing = useMemo(() => svg && encode(new TextEncoder().encode(svg)), [svg]);
  const text = (result.text ?? "").slice(0, MAX_NAME);
  const plain = result.markdown ?? result.latex ?? result.text ?? "";
  if (result.html) return <Frame html={result.html} />;
  if (drawing) return <Drawing content={drawing} title={text} />;
  if (result.png) return <img class="picture" src={`data:image/png;base64,${result.png}`} alt={text} />;
  if (result.jpeg) return <img class="picture" src={`data:image/jpeg;base64,${result.jpeg}`} alt={text} />;
  return (
    <>
      <Scrolling class="text value" label="Value">
        {visible(plain.slice(0, MAX_TEXT))}
      </Scrolling>
      {plain.length > MAX_TEXT && <p class="faint">Only the first {MAX_TEXT} characters are shown.</p>}
    </>
  );
}
