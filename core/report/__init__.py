"""Tables to pictures: plotly figures and self-contained pages. No streamlit, no torch, no state."""
