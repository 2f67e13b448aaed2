/** Cut a text into pieces of at most `step` UTF-16 code units, none of which ends within a character. */
export function* pieces(text: string, step: number): Generator<string> {
  for (let at = 0, end = 0; at < text.length; at = end) {
    end = at + step;
    if (/[\ud800-\udbff]/.test(text.charAt(end - 1))) end -= 1;
    yield text.slice(at, end);
  }
}
