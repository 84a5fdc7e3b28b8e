"""Results to pictures and pages: plotly figures and self-contained HTML. No streamlit, no torch."""
