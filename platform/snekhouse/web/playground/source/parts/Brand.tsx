/** The name of the service, which leads to the page at `/`. */
export function Brand({ home }: { home: string }) {
  return (
    <a class="brand" href={home}>
      <svg viewBox="0 0 32 32" class="mark" aria-hidden="true">
        <rect width="32" height="32" rx="8" />
        <path d="M9 22c0 2 2 3 4 3h6c3 0 5-2 5-4.500s-2-4.500-5-4.500h-6c-2 0-3.500-1-3.500-3s1.500-3 3.500-3h9" />
      </svg>
      snekhouse
    </a>
  );
}
