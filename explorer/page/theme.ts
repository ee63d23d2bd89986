/**
 * Dark and light colours: the system's, or those that the user has chosen.
 *
 * @module
 */

const KEY = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Shows the colours that the user has chosen, or else the system's, and follows the system. */
export function followTheme(): void {
  const show = () => {
    const chosen = localStorage.getItem(KEY);
    const dark = chosen === null ? system.matches : chosen === "dark";
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  show();
  system.addEventListener("change", show);
}

/** Changes from dark to light, or from light to dark. */
export function toggleTheme(): void {
  const { dataset } = document.documentElement;
  dataset.theme = dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, dataset.theme);
}
