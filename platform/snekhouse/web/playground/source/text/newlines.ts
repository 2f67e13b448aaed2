/** Write line ends as the editor does, which would otherwise change a text when it shows it. */
export function withNewlines(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}
