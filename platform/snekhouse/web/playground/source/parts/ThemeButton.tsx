import { nextTheme, theme } from "../state/theme";
import { Icon } from "./Icon";

/** Change between the theme of the system, light and dark. */
export function ThemeButton() {
  const label = `Theme: ${theme.value}`;
  return (
    <button type="button" class="quiet" aria-label={label} title={label} onClick={nextTheme}>
      <Icon name="theme" />
    </button>
  );
}
