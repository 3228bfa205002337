//! What a model is shown, within a budget, with the reasons (spec: Context Engine).
