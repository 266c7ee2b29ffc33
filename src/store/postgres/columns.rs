//! What Postgres gives as a row.

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type, ValueRef};

use crate::store::row::{Columns, WrongType};

impl Columns for PgRow {
    fn text(&self, column: &'static str) -> Result<Option<&str>, WrongType> {
        get(self, column)
    }

    fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, WrongType> {
        get(self, column)
    }

    fn number(&self, column: &'static str) -> Result<Option<i64>, WrongType> {
        get(self, column)
    }

    fn truth(&self, column: &'static str) -> Result<Option<bool>, WrongType> {
        get(self, column)
    }

    fn is_null(&self, column: &'static str) -> bool {
        self.try_get_raw(column).is_ok_and(|value| value.is_null())
    }

    fn raw(&self, column: &'static str) -> &[u8] {
        let value = self.try_get_raw(column).ok();
        value
            .and_then(|value| value.as_bytes().ok())
            .unwrap_or_default()
    }
}

fn get<'r, T>(row: &'r PgRow, column: &'static str) -> Result<Option<T>, WrongType>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|_| WrongType)
}
